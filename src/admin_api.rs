//! The admin listener: the gRPC `muster.admin.v1`, REST, and the web console.
//!
//! Owns: what operators may call and with which role, the codes they get. Must
//! not know: the agent's protocol, a store's backend.
//! Invariant: every call carries a good admin token of a sufficient role,
//! reflection's too.

mod about;
mod calls;
mod console;
mod error;
mod grpc;
mod not_ready;
mod rest;
mod roles;
mod service;

use std::sync::Arc;

use tonic::service::Routes;

use crate::control::audit::Audit;
use crate::control::gateways::Gateways;
use crate::control::instances::InstanceAdmin;
use crate::control::keys::KeyAdmin;
use crate::control::settings::Settings;
use crate::control::tokens::Tokens;
use crate::gateway::events::Events;
use crate::gateway::presence::Presence;
use crate::gateway::registrations::Instances;
use crate::gateway::telemetry_senders::Senders;
use crate::proto::admin::v1::DESCRIPTORS;
use crate::proto::admin::v1::agent_service_server::AgentServiceServer;
use crate::proto::admin::v1::audit_service_server::AuditServiceServer;
use crate::proto::admin::v1::event_service_server::EventServiceServer;
use crate::proto::admin::v1::gateway_service_server::GatewayServiceServer;
use crate::proto::admin::v1::key_service_server::KeyServiceServer;
use crate::proto::admin::v1::rejection_service_server::RejectionServiceServer;
use crate::proto::admin::v1::session_service_server::SessionServiceServer;
use crate::proto::admin::v1::settings_service_server::SettingsServiceServer;
use crate::proto::admin::v1::token_service_server::TokenServiceServer;

pub use about::About;
use grpc::authenticate::Authenticate;
pub use not_ready::Door;
use rest::Rest;
pub use service::AdminService;

/// What the admin API is a door to.
pub struct Behind {
    /// Keys.
    pub keys: Arc<KeyAdmin>,
    /// Live sessions and refusals, of all gateways.
    pub presence: Arc<Presence>,
    /// Agents and instances.
    pub instances: Arc<Instances>,
    /// Who sends telemetry.
    pub senders: Arc<Senders>,
    /// What happened.
    pub events: Arc<Events>,
    /// Admin tokens: also who may come in.
    pub tokens: Tokens,
    /// The gateways of the store.
    pub gateways: Gateways,
    /// Who changed what.
    pub audit: Arc<Audit>,
    /// The gateway that answers.
    pub about: About,
    /// What is set for all of them.
    pub settings: Settings,
}

/// The service that the admin listener serves: gRPC, REST and the console on one
/// port.
///
/// # Errors
/// When our own descriptors can't be read: a build fault.
pub fn service(behind: Behind) -> Result<AdminService, tonic_reflection::server::Error> {
    let Behind {
        keys,
        presence,
        instances,
        senders,
        events,
        tokens,
        gateways,
        audit,
        about,
        settings,
    } = behind;
    let instance_admin = InstanceAdmin::new(
        Arc::clone(&instances),
        Arc::clone(&presence),
        Arc::clone(&events),
    );
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
    };
    let rest = rest::router(Rest {
        keys: Arc::clone(&keys),
        instances: Arc::clone(&instances),
        presence: Arc::clone(&presence),
        events: Arc::clone(&events),
        gateways: gateways.clone(),
        tokens: tokens.clone(),
        audit: Arc::clone(&audit),
        senders: Arc::clone(&senders),
        about: Arc::new(about),
        instance_admin: instance_admin.clone(),
        settings: settings.clone(),
    });
    let key_service = grpc::keys::Keys::new(keys, senders);
    let agent_service = grpc::agents::Agents::new(instances, Arc::clone(&presence), instance_admin);
    let session_service = grpc::sessions::Sessions::new(Arc::clone(&presence));
    let rejection_service = grpc::rejections::Refused::new(presence);
    let gateway_service = grpc::gateways::GatewayAdmin::new(gateways);
    let audit_service = grpc::audit::Trail::new(Arc::clone(&audit));
    let token_service = grpc::tokens::TokenAdmin::new(tokens.clone());
    let routes = Routes::new(KeyServiceServer::new(key_service))
        .add_service(AgentServiceServer::new(agent_service))
        .add_service(EventServiceServer::new(grpc::events::EventStream::new(
            events,
        )))
        .add_service(SessionServiceServer::new(session_service))
        .add_service(GatewayServiceServer::new(gateway_service))
        .add_service(TokenServiceServer::new(token_service))
        .add_service(SettingsServiceServer::new(
            grpc::settings::SettingsAdmin::new(settings),
        ))
        .add_service(RejectionServiceServer::new(rejection_service))
        .add_service(AuditServiceServer::new(audit_service))
        .add_service(reflection().build_v1()?)
        // grpcurl before 1.9 knows this version alone.
        .add_service(reflection().build_v1alpha()?)
        .prepare();
    Ok(AdminService {
        grpc: Authenticate::new(routes, tokens, audit),
        rest,
    })
}
