//! The admin listener: the gRPC `muster.admin.v1`, REST, and the web console.
//!
//! Owns: what operators may call and with which role, the codes they get. Must
//! not know: the agent's protocol, a store's backend.
//! Invariant: every call carries a good admin token of a sufficient role,
//! reflection's too.

mod about;
mod auth;
mod calls;
mod console;
mod error;
mod grpc;
mod not_ready;
mod page_token;
mod rest;
mod service;
mod state;

use std::sync::Arc;

use axum::middleware;
use tonic::service::Routes;

pub use about::About;
pub(crate) use not_ready::NotReadyService;
pub use service::AdminService;
pub use state::AdminState;

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

/// The service that the admin listener serves: gRPC, REST and the console on one
/// port.
///
/// # Errors
/// When our own descriptors can't be read: a build fault.
pub fn service(state: AdminState) -> Result<AdminService, tonic_reflection::server::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
    };
    let AdminState {
        keys,
        presence,
        instances,
        instance_admin,
        senders,
        events,
        tokens,
        gateways,
        audit,
        settings,
        about: _,
    } = state.clone();
    let routes = Routes::new(KeyServiceServer::new(grpc::keys::Keys::new(keys, senders)))
        .add_service(AgentServiceServer::new(grpc::agents::Agents::new(
            instances,
            Arc::clone(&presence),
            instance_admin,
        )))
        .add_service(EventServiceServer::new(grpc::events::EventStream::new(
            events,
        )))
        .add_service(SessionServiceServer::new(grpc::sessions::Sessions::new(
            Arc::clone(&presence),
        )))
        .add_service(GatewayServiceServer::new(
            grpc::gateways::GatewayAdmin::new(gateways),
        ))
        .add_service(TokenServiceServer::new(grpc::tokens::TokenAdmin::new(
            tokens,
        )))
        .add_service(SettingsServiceServer::new(
            grpc::settings::SettingsAdmin::new(settings),
        ))
        .add_service(RejectionServiceServer::new(
            grpc::rejections::RejectionList::new(presence),
        ))
        .add_service(AuditServiceServer::new(grpc::audit::Trail::new(audit)))
        .add_service(reflection().build_v1()?)
        // grpcurl before 1.9 knows this version alone.
        .add_service(reflection().build_v1alpha()?)
        .prepare()
        .into_axum_router();
    Ok(AdminService {
        grpc: routes.layer(middleware::from_fn_with_state(
            state.clone(),
            grpc::authorize::authorize,
        )),
        rest: rest::router(state),
    })
}
