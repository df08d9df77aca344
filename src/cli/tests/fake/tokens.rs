//! The fake's `TokenService`.

use tonic::{Request, Response, Status};

use super::{Api, page, time};
use crate::keys::{Kind, mint};
use crate::proto::admin::v1::token_service_server::TokenService;
use crate::proto::admin::v1::*;

/// A valid token that does not expire.
pub fn token(number: u8, name: &str, role: Role) -> Token {
    Token {
        object_id: format!("tok_{number:016}"),
        name: name.to_owned(),
        role: role.into(),
        created_at: time(1_700_000_000),
        expires_at: None,
        revoked_at: None,
        status: "valid".to_owned(),
        yours: number == 1,
    }
}

#[tonic::async_trait]
impl TokenService for Api {
    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        self.answer(request, |state, asked| {
            if asked.name.is_empty() {
                return Err(Status::invalid_argument(
                    "name: must have 1 to 128 characters",
                ));
            }
            let mut made = token(9, &asked.name, asked.role());
            made.expires_at = asked.expires_at;
            let secret = mint(Kind::AdminToken).unwrap().expose().to_owned();
            state.secrets.push(secret.clone());
            state.tokens.push(made.clone());
            Ok(CreateTokenResponse {
                token: Some(made),
                secret,
            })
        })
    }

    async fn list_tokens(
        &self,
        request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensResponse>, Status> {
        self.answer(request, |state, asked| {
            let (tokens, next_page_token) = page(&state.tokens, &asked.page_token);
            Ok(ListTokensResponse {
                tokens,
                next_page_token,
            })
        })
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        self.answer(request, |state, asked| {
            let mut tokens = state.tokens.iter_mut();
            let token = tokens
                .find(|token| token.object_id == asked.object_id)
                .ok_or_else(|| Status::not_found("there is no such token"))?;
            if token.yours {
                return Err(Status::failed_precondition("the last valid admin token"));
            }
            token.revoked_at = token.revoked_at.or(time(1_800_000_000));
            token.status = "revoked".to_owned();
            Ok(RevokeTokenResponse {
                token: Some(token.clone()),
            })
        })
    }
}
