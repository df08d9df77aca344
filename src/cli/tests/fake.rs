//! A gateway's admin API in this process: real TLS, a made-up store. Pages hold
//! two rows, so that whoever reads one page alone is found out.

mod instances;
mod tokens;

use parking_lot::Mutex;
use std::net::TcpListener as StdListener;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::keys::{Kind, mint};
use crate::proto::admin::v1::agent_service_server::AgentServiceServer;
use crate::proto::admin::v1::audit_service_server::{AuditService, AuditServiceServer};
use crate::proto::admin::v1::delete_outcome::Outcome;
use crate::proto::admin::v1::gateway_service_server::{GatewayService, GatewayServiceServer};
use crate::proto::admin::v1::key_service_server::{KeyService, KeyServiceServer};
use crate::proto::admin::v1::rejection_service_server::{RejectionService, RejectionServiceServer};
use crate::proto::admin::v1::session_service_server::{SessionService, SessionServiceServer};
use crate::proto::admin::v1::settings_service_server::SettingsServiceServer;
use crate::proto::admin::v1::token_service_server::TokenServiceServer;
use crate::proto::admin::v1::*;

pub use tokens::token;

const PAGE: usize = 2;

/// A running fake and the data directory that leads to it.
pub struct Fake {
    pub dir: TempDir,
    pub state: Arc<Mutex<State>>,
    _runtime: Runtime,
}

#[derive(Default)]
pub struct State {
    pub keys: Vec<Key>,
    pub unreadable: Vec<String>,
    pub sessions: Vec<Session>,
    pub tokens: Vec<Token>,
    pub rejections: Vec<Rejection>,
    pub audit: Vec<AuditRecord>,
    /// Ids; none else can be deleted.
    pub instances: Vec<String>,
    /// Hours.
    pub cleanup: Option<u32>,
    /// Under whatever key.
    pub senders: Vec<TelemetrySender>,
    pub token: String,
    /// No replica has what is changed.
    pub undurable: bool,
    /// Every call is refused with it.
    pub broken: Option<Status>,
    /// The secrets that were handed out.
    pub secrets: Vec<String>,
}

pub fn time(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

/// A valid key that expires in the year 2100.
pub fn key(number: u8, name: &str) -> Key {
    Key {
        object_id: format!("key_{number:016}"),
        namespace: "default".to_owned(),
        name: name.to_owned(),
        created_at: time(1_700_000_000),
        modified_at: time(1_700_000_000),
        expires_at: time(4_102_444_800),
        revoked_at: None,
        status: KeyStatus::Valid.into(),
        live_sessions: u64::from(number),
        registered_agents: u64::from(number),
        current_agents: u64::from(number),
        last_used_at: time(1_700_000_100),
        revision: 5,
    }
}

impl Fake {
    pub fn start(keys: Vec<Key>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let identity = certificates(dir.path());
        let token = mint(Kind::AdminToken).unwrap();
        std::fs::write(dir.path().join("admin.token"), token.expose()).unwrap();
        let state = Arc::new(Mutex::new(State {
            keys,
            token: format!("Bearer {}", token.expose()),
            ..State::default()
        }));
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        std::fs::write(dir.path().join("admin.url"), url).unwrap();
        let api = Api(state.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            Server::builder()
                .tls_config(ServerTlsConfig::new().identity(identity))
                .unwrap()
                .add_service(KeyServiceServer::new(api.clone()))
                .add_service(SessionServiceServer::new(api.clone()))
                .add_service(TokenServiceServer::new(api.clone()))
                .add_service(GatewayServiceServer::new(api.clone()))
                .add_service(AgentServiceServer::new(api.clone()))
                .add_service(SettingsServiceServer::new(api.clone()))
                .add_service(RejectionServiceServer::new(api.clone()))
                .add_service(AuditServiceServer::new(api))
                .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener))
                .await
                .unwrap();
        });
        Self {
            dir,
            state,
            _runtime: runtime,
        }
    }
}

fn certificates(dir: &Path) -> Identity {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &ca)
        .unwrap();
    Identity::from_pem(leaf.pem(), key.serialize_pem())
}

#[derive(Clone)]
struct Api(Arc<Mutex<State>>);

impl Api {
    fn answer<Q, A>(
        &self,
        request: Request<Q>,
        act: impl FnOnce(&mut State, Q) -> Result<A, Status>,
    ) -> Result<Response<A>, Status> {
        let mut state = self.0.lock();
        if let Some(status) = &state.broken {
            return Err(status.clone());
        }
        let given = request.metadata().get("authorization");
        if given.is_none_or(|token| token.as_bytes() != state.token.as_bytes()) {
            return Err(Status::unauthenticated("not an admin token of this store"));
        }
        act(&mut state, request.into_inner()).map(Response::new)
    }
}

impl State {
    fn find(&mut self, id: &str) -> Result<&mut Key, Status> {
        self.keys
            .iter_mut()
            .find(|key| key.object_id == id)
            .ok_or_else(|| Status::not_found(format!("there is no key {id}")))
    }
}

fn page<T: Clone>(rows: &[T], token: &str) -> (Vec<T>, String) {
    let from: usize = token.parse().unwrap_or(0);
    let to = (from + PAGE).min(rows.len());
    let next = if to < rows.len() {
        to.to_string()
    } else {
        String::new()
    };
    (rows[from..to].to_vec(), next)
}

#[tonic::async_trait]
impl KeyService for Api {
    async fn create_key(
        &self,
        request: Request<CreateKeyRequest>,
    ) -> Result<Response<CreateKeyResponse>, Status> {
        self.answer(request, |state, asked| {
            if asked.name.is_empty() {
                return Err(Status::invalid_argument(
                    "name: must have 1 to 128 characters",
                ));
            }
            let mut made = key(9, &asked.name);
            made.expires_at = asked.expires_at.or(made.expires_at);
            let secret = mint(Kind::DataPlaneKey).unwrap().expose().to_owned();
            state.secrets.push(secret.clone());
            state.keys.push(made.clone());
            Ok(CreateKeyResponse {
                key: Some(made),
                secret,
                durable: !state.undurable,
                replicas_acknowledged: u32::from(!state.undurable),
            })
        })
    }

    async fn get_key(
        &self,
        request: Request<GetKeyRequest>,
    ) -> Result<Response<GetKeyResponse>, Status> {
        self.answer(request, |state, asked| {
            let key = Some(state.find(&asked.object_id)?.clone());
            let senders = state.senders.iter();
            Ok(GetKeyResponse {
                key,
                telemetry_senders: senders.take(PAGE).cloned().collect(),
                telemetry_senders_total: state.senders.len() as u64,
                revocation: None,
            })
        })
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        self.answer(request, |state, asked| {
            let rows: Vec<Key> = state
                .keys
                .iter()
                .filter(|key| asked.name.is_empty() || key.name == asked.name)
                .filter(|key| asked.status == 0 || key.status == asked.status)
                .cloned()
                .collect();
            let (keys, next_page_token) = page(&rows, &asked.page_token);
            let unreadable = if next_page_token.is_empty() {
                state.unreadable.clone()
            } else {
                Vec::new()
            };
            Ok(ListKeysResponse {
                keys,
                next_page_token,
                unreadable,
            })
        })
    }

    async fn edit_key(
        &self,
        request: Request<EditKeyRequest>,
    ) -> Result<Response<EditKeyResponse>, Status> {
        self.answer(request, |state, asked| {
            let durable = !state.undurable;
            let key = state.find(&asked.object_id)?;
            if asked.if_revision.is_some_and(|of| of != key.revision) {
                return Err(Status::aborted("it was changed meanwhile"));
            }
            key.name = asked.name.unwrap_or_else(|| key.name.clone());
            key.expires_at = asked.expires_at.or(key.expires_at);
            Ok(EditKeyResponse {
                key: Some(key.clone()),
                durable,
                replicas_acknowledged: u32::from(durable),
            })
        })
    }

    async fn revoke_key(
        &self,
        request: Request<RevokeKeyRequest>,
    ) -> Result<Response<RevokeKeyResponse>, Status> {
        self.answer(request, |state, asked| {
            let durable = !state.undurable;
            let key = state.find(&asked.object_id)?;
            let sessions_closed = std::mem::take(&mut key.live_sessions);
            key.revoked_at = key.revoked_at.or(time(1_800_000_000));
            key.status = KeyStatus::Revoked.into();
            Ok(RevokeKeyResponse {
                key: Some(key.clone()),
                revision: 7,
                complete: true,
                durable,
                replicas_acknowledged: u32::from(durable),
                pending: false,
                kept: false,
                gateways: vec![GatewayOutcome {
                    gateway_id: "g1".to_owned(),
                    gateway_name: "one".to_owned(),
                    applied: true,
                    sessions_closed,
                    sessions_closing: 0,
                    milliseconds: 12,
                    enrolled: true,
                    ..GatewayOutcome::default()
                }],
            })
        })
    }

    async fn delete_key(
        &self,
        _: Request<DeleteKeyRequest>,
    ) -> Result<Response<DeleteKeyResponse>, Status> {
        Err(Status::unimplemented("the command line uses DeleteKeys"))
    }

    async fn delete_keys(
        &self,
        request: Request<DeleteKeysRequest>,
    ) -> Result<Response<DeleteKeysResponse>, Status> {
        self.answer(request, |state, asked| {
            if asked.object_ids.len() > 50 {
                return Err(Status::invalid_argument("1 to 50 keys"));
            }
            let mut outcomes = Vec::new();
            for object_id in asked.object_ids {
                let name = state.find(&object_id)?.name.clone();
                let valid = state.find(&object_id)?.status() == KeyStatus::Valid;
                state.keys.retain(|key| valid || key.object_id != object_id);
                let (outcome, failure_reason) = if valid {
                    (
                        Outcome::Failed,
                        "the key is valid; revoke it first".to_owned(),
                    )
                } else {
                    (Outcome::Deleted, String::new())
                };
                outcomes.push(DeleteOutcome {
                    object_id,
                    name,
                    outcome: outcome.into(),
                    failure_reason,
                    durable: !valid && !state.undurable,
                    replicas_acknowledged: u32::from(!valid && !state.undurable),
                });
            }
            Ok(DeleteKeysResponse { outcomes })
        })
    }
}

#[tonic::async_trait]
impl SessionService for Api {
    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        self.answer(request, |state, asked| {
            let key = asked.key_object_id;
            let of_key = |s: &&Session| key.is_empty() || s.key_object_id == key;
            let rows: Vec<Session> = state.sessions.iter().filter(of_key).cloned().collect();
            let (sessions, next_page_token) = page(&rows, &asked.page_token);
            Ok(ListSessionsResponse {
                sessions,
                next_page_token,
            })
        })
    }

    async fn disconnect_session(
        &self,
        request: Request<DisconnectSessionRequest>,
    ) -> Result<Response<DisconnectSessionResponse>, Status> {
        self.answer(request, |state, asked| {
            let before = state.sessions.len();
            state.sessions.retain(|s| s.session_id != asked.session_id);
            if state.sessions.len() == before {
                return Err(Status::not_found("there is no such session"));
            }
            Ok(DisconnectSessionResponse {
                closed: true,
                milliseconds: 3,
            })
        })
    }
}

#[tonic::async_trait]
impl RejectionService for Api {
    async fn list_rejections(
        &self,
        request: Request<ListRejectionsRequest>,
    ) -> Result<Response<ListRejectionsResponse>, Status> {
        self.answer(request, |state, asked| {
            let rows: Vec<Rejection> = state
                .rejections
                .iter()
                .filter(|r| {
                    asked.key_object_id.is_empty() || r.key_object_id == asked.key_object_id
                })
                .filter(|r| asked.agent_id.is_empty() || r.agent_id == asked.agent_id)
                .cloned()
                .collect();
            let (rejections, next_page_token) = page(&rows, &asked.page_token);
            Ok(ListRejectionsResponse {
                rejections,
                next_page_token,
            })
        })
    }
}

#[tonic::async_trait]
impl AuditService for Api {
    async fn list_audit(
        &self,
        request: Request<ListAuditRequest>,
    ) -> Result<Response<ListAuditResponse>, Status> {
        self.answer(request, |state, asked| {
            let taken = |r: &&AuditRecord| {
                (asked.action.is_empty() || r.action == asked.action)
                    && (asked.result.is_empty() || r.result == asked.result)
            };
            let rows: Vec<AuditRecord> = state.audit.iter().filter(taken).cloned().collect();
            let (records, next_page_token) = page(&rows, &asked.page_token);
            Ok(ListAuditResponse {
                records,
                next_page_token,
            })
        })
    }
}

#[tonic::async_trait]
impl GatewayService for Api {
    async fn forget_gateway(
        &self,
        request: Request<ForgetGatewayRequest>,
    ) -> Result<Response<ForgetGatewayResponse>, Status> {
        self.answer(request, |_, asked| match asked.gateway_id.as_str() {
            "g0" => Ok(ForgetGatewayResponse {}),
            _ => Err(Status::failed_precondition("gateway_id: g1 is alive")),
        })
    }

    async fn list_gateways(
        &self,
        request: Request<ListGatewaysRequest>,
    ) -> Result<Response<ListGatewaysResponse>, Status> {
        self.answer(request, |_, _| {
            Ok(ListGatewaysResponse {
                gateways: vec![Gateway {
                    gateway_id: "g1".to_owned(),
                    name: "one".to_owned(),
                    version: "0.1.0".to_owned(),
                    enrolled_at: time(1_700_000_000),
                    last_heartbeat: time(1_700_000_000),
                    applied_revision: 5,
                    live_sessions: 2,
                    answering: true,
                    agent_address: "192.0.2.1:9443".to_owned(),
                    admin_address: "127.0.0.1:9444".to_owned(),
                    view_age_milliseconds: 940,
                    unreachable: false,
                }],
                next_page_token: String::new(),
                revision: 7,
            })
        })
    }
}
