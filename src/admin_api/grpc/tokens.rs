//! `muster.admin.v1.TokenService`.

use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};

use super::authorize::caller;
use super::{convert, page};
use crate::admin_api::auth::Caller;
use crate::admin_api::error::{invalid, status};
use crate::control::tokens::{TokenAdminError, Tokens};
use crate::proto::admin::v1 as pb;
use crate::proto::admin::v1::token_service_server::TokenService;
use crate::store::{Role, TokenCursor, TokenRecord};

/// The token service.
pub(crate) struct TokenAdmin {
    tokens: Tokens,
}

impl TokenAdmin {
    pub fn new(tokens: Tokens) -> Self {
        Self { tokens }
    }

    fn show(&self, token: &TokenRecord, caller: &TokenRecord) -> pb::Token {
        pb::Token {
            object_id: token.id.to_string(),
            name: token.name.clone(),
            role: to_wire(token.role).into(),
            created_at: Some(token.created_at.into()),
            expires_at: token.expires_at.map(Into::into),
            revoked_at: token.revoked_at.map(Into::into),
            status: token.status(self.tokens.now()).as_str().to_owned(),
            yours: token.id == caller.id,
        }
    }
}

fn to_wire(role: Role) -> pb::Role {
    match role {
        Role::Viewer => pb::Role::Viewer,
        Role::Operator => pb::Role::Operator,
        Role::Admin => pb::Role::Admin,
    }
}

fn from_wire(role: i32) -> Result<Role, Status> {
    match pb::Role::try_from(role) {
        Ok(pb::Role::Viewer) => Ok(Role::Viewer),
        Ok(pb::Role::Operator) => Ok(Role::Operator),
        Ok(pb::Role::Admin) => Ok(Role::Admin),
        // Left out is no role: the least of them would be a guess.
        Ok(pb::Role::Unspecified) | Err(_) => {
            Err(invalid("role", "give one of viewer, operator, admin"))
        }
    }
}

fn refused(error: TokenAdminError) -> Status {
    status(&error)
}

#[tonic::async_trait]
impl TokenService for TokenAdmin {
    async fn create_token(
        &self,
        request: Request<pb::CreateTokenRequest>,
    ) -> Result<Response<pb::CreateTokenResponse>, Status> {
        let Caller {
            actor,
            token: caller,
        } = caller(&request)?;
        let request = request.into_inner();
        let role = from_wire(request.role)?;
        let expires_at = convert::from_wire("expires_at", request.expires_at)?;
        let created = self
            .tokens
            .create(&actor, request.name, role, expires_at)
            .await
            .map_err(refused)?;
        Ok(Response::new(pb::CreateTokenResponse {
            token: Some(self.show(&created.record, &caller)),
            secret: created.secret.expose_secret().to_owned(),
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<pb::ListTokensRequest>,
    ) -> Result<Response<pb::ListTokensResponse>, Status> {
        let caller = caller(&request)?.token;
        let request = request.get_ref();
        let size = page::size(request.page_size)?;
        let after = page::place(&request.page_token)?
            .map(|(created_at, id)| TokenCursor { created_at, id });
        let found = self.tokens.list(after, size).await.map_err(refused)?;
        let next = found.next.map(|next| (next.created_at, next.id));
        Ok(Response::new(pb::ListTokensResponse {
            tokens: found
                .records
                .iter()
                .map(|token| self.show(token, &caller))
                .collect(),
            next_page_token: page::place_token(next),
        }))
    }

    async fn revoke_token(
        &self,
        request: Request<pb::RevokeTokenRequest>,
    ) -> Result<Response<pb::RevokeTokenResponse>, Status> {
        let Caller {
            actor,
            token: caller,
        } = caller(&request)?;
        let token = request
            .get_ref()
            .object_id
            .parse()
            .map_err(|error| invalid("object_id", error))?;
        let revoked = self.tokens.revoke(&actor, token).await.map_err(refused)?;
        Ok(Response::new(pb::RevokeTokenResponse {
            token: Some(self.show(&revoked, &caller)),
        }))
    }
}
