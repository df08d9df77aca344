//! Somebody with an admin token.

use std::time::{Duration, SystemTime};

use muster::proto::admin::v1 as pb;
use muster::proto::admin::v1::agent_service_client::AgentServiceClient;
use muster::proto::admin::v1::audit_service_client::AuditServiceClient;
use muster::proto::admin::v1::event_service_client::EventServiceClient;
use muster::proto::admin::v1::gateway_service_client::GatewayServiceClient;
use muster::proto::admin::v1::key_service_client::KeyServiceClient;
use muster::proto::admin::v1::rejection_service_client::RejectionServiceClient;
use muster::proto::admin::v1::session_service_client::SessionServiceClient;
use muster::proto::admin::v1::settings_service_client::SettingsServiceClient;
use muster::proto::admin::v1::token_service_client::TokenServiceClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

pub type Bearer = Box<dyn FnMut(Request<()>) -> Result<Request<()>, Status> + Send>;
pub type Client = InterceptedService<Channel, Bearer>;

#[derive(Clone)]
pub struct Operator {
    channel: Channel,
    token: String,
}

impl Operator {
    pub fn new(channel: Channel, token: &str) -> Self {
        Self {
            channel,
            token: token.to_owned(),
        }
    }

    pub fn client(&self) -> Client {
        let value = format!("Bearer {}", self.token);
        let bearer: Bearer = Box::new(move |mut request: Request<()>| {
            let value = value.parse().unwrap();
            request.metadata_mut().insert("authorization", value);
            Ok(request)
        });
        InterceptedService::new(self.channel.clone(), bearer)
    }

    pub fn agents(&self) -> AgentServiceClient<Client> {
        AgentServiceClient::new(self.client())
    }

    pub fn events(&self) -> EventServiceClient<Client> {
        EventServiceClient::new(self.client())
    }

    pub fn keys(&self) -> KeyServiceClient<Client> {
        KeyServiceClient::new(self.client())
    }

    pub fn sessions(&self) -> SessionServiceClient<Client> {
        SessionServiceClient::new(self.client())
    }

    pub fn gateways(&self) -> GatewayServiceClient<Client> {
        GatewayServiceClient::new(self.client())
    }

    pub fn settings(&self) -> SettingsServiceClient<Client> {
        SettingsServiceClient::new(self.client())
    }

    pub fn tokens(&self) -> TokenServiceClient<Client> {
        TokenServiceClient::new(self.client())
    }

    /// A new token that does not expire: its id and its secret.
    pub async fn token(&self, role: pb::Role) -> (String, String) {
        let request = pb::CreateTokenRequest {
            name: "t".into(),
            role: role.into(),
            expires_at: None,
        };
        let created = self.tokens().create_token(request).await.unwrap();
        let created = created.into_inner();
        (created.token.unwrap().object_id, created.secret)
    }

    pub async fn revoke_token(&self, object_id: &str) -> Result<pb::Token, Status> {
        let request = pb::RevokeTokenRequest {
            object_id: object_id.into(),
        };
        let response = self.tokens().revoke_token(request).await?;
        Ok(response.into_inner().token.unwrap())
    }

    /// All tokens, in pages of `page_size`.
    pub async fn list_tokens(&self, page_size: u32) -> Vec<pb::Token> {
        let mut tokens = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListTokensRequest {
                page_size,
                page_token,
            };
            let page = self.tokens().list_tokens(request).await.unwrap();
            let page = page.into_inner();
            tokens.extend(page.tokens);
            if page.next_page_token.is_empty() {
                return tokens;
            }
            page_token = page.next_page_token;
        }
    }

    pub fn audit(&self) -> AuditServiceClient<Client> {
        AuditServiceClient::new(self.client())
    }

    pub fn rejections(&self) -> RejectionServiceClient<Client> {
        RejectionServiceClient::new(self.client())
    }

    /// A new key of the default life: its id and its secret.
    pub async fn key(&self, name: &str) -> (String, String) {
        self.key_until(name, None).await
    }

    /// A new key that expires so long from now.
    pub async fn key_for(&self, name: &str, life: Duration) -> (String, String) {
        self.key_until(name, Some((SystemTime::now() + life).into()))
            .await
    }

    async fn key_until(
        &self,
        name: &str,
        expires_at: Option<prost_types::Timestamp>,
    ) -> (String, String) {
        let request = pb::CreateKeyRequest {
            name: name.into(),
            expires_at,
        };
        let created = self.keys().create_key(request).await.unwrap().into_inner();
        (created.key.unwrap().object_id, created.secret)
    }

    pub async fn show(&self, object_id: &str) -> Result<pb::Key, Status> {
        Ok(self.details(object_id).await?.key.unwrap())
    }

    /// A key and who sends telemetry under it.
    pub async fn details(&self, object_id: &str) -> Result<pb::GetKeyResponse, Status> {
        let request = pb::GetKeyRequest {
            object_id: object_id.into(),
        };
        Ok(self.keys().get_key(request).await?.into_inner())
    }

    pub async fn revoke(&self, object_id: &str) -> pb::RevokeKeyResponse {
        let request = pb::RevokeKeyRequest {
            object_id: object_id.into(),
            wait: None,
        };
        self.keys().revoke_key(request).await.unwrap().into_inner()
    }

    /// Waits at most so long for all gateways.
    pub async fn revoke_within(&self, object_id: &str, wait: Duration) -> pb::RevokeKeyResponse {
        let request = pb::RevokeKeyRequest {
            object_id: object_id.into(),
            wait: Some(wait.try_into().unwrap()),
        };
        self.keys().revoke_key(request).await.unwrap().into_inner()
    }

    pub async fn delete(&self, object_id: &str) -> Result<(), Status> {
        let request = pb::DeleteKeyRequest {
            object_id: object_id.into(),
        };
        self.keys().delete_key(request).await.map(|_| ())
    }

    pub async fn set_expiry(&self, object_id: &str, from_now: Duration) -> Result<pb::Key, Status> {
        let request = pb::EditKeyRequest {
            object_id: object_id.into(),
            name: None,
            expires_at: Some((SystemTime::now() + from_now).into()),
            if_revision: None,
        };
        let response = self.keys().edit_key(request).await?;
        Ok(response.into_inner().key.unwrap())
    }

    /// The last rejections, at most 1,000, newest first.
    pub async fn list_rejections(&self) -> Vec<pb::Rejection> {
        let request = pb::ListRejectionsRequest {
            page_size: 1000,
            ..Default::default()
        };
        let page = self.rejections().list_rejections(request).await.unwrap();
        page.into_inner().rejections
    }

    /// All live sessions, page by page.
    pub async fn list_sessions(&self, key: &str) -> Vec<pb::Session> {
        let mut sessions = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListSessionsRequest {
                key_object_id: key.into(),
                page_size: 1000,
                page_token,
            };
            let page = self.sessions().list_sessions(request).await.unwrap();
            let page = page.into_inner();
            sessions.extend(page.sessions);
            if page.next_page_token.is_empty() {
                return sessions;
            }
            page_token = page.next_page_token;
        }
    }
}
