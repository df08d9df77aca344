//! The calls of the admin API: one table for gRPC and REST.
//!
//! Owns: the least role of each call, and its action in the audit trail.
//! Invariants: a call that is not in the table is refused; a call that changes
//! something has an action. Tests hold the table against the protos and the REST
//! document.

use Role::{Admin, Operator, Viewer};
use http::Method;

use crate::store::Role;

/// A call, over whichever protocol it comes in.
pub(super) struct Call {
    /// Its gRPC methods, behind `/muster.admin.v1.`.
    grpc: &'static [&'static str],
    /// Its REST methods and routes, behind `/namespaces/{namespace}`.
    rest: &'static [(Method, &'static str)],
    /// The least role that may make it.
    pub role: Role,
    /// Its action in the audit trail; `None`: it changes nothing.
    pub action: Option<&'static str>,
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

const fn read(
    grpc: &'static [&'static str],
    rest: &'static [(Method, &'static str)],
    role: Role,
) -> Call {
    Call {
        grpc,
        rest,
        role,
        action: None,
    }
}

const fn change(
    action: &'static str,
    grpc: &'static [&'static str],
    rest: &'static [(Method, &'static str)],
    role: Role,
) -> Call {
    Call {
        grpc,
        rest,
        role,
        action: Some(action),
    }
}

#[rustfmt::skip]
static CALLS: &[Call] = &[
    read(&["KeyService/GetKey"],
        &[(GET, "/data-plane-keys/{id}"), (GET, "/data-plane-keys/{id}/revocation"),
          (GET, "/data-plane-keys/{id}/telemetry-senders")], Viewer),
    read(&["KeyService/ListKeys"], &[(GET, "/data-plane-keys")], Viewer),
    change("key.create", &["KeyService/CreateKey"], &[(POST, "/data-plane-keys")], Admin),
    change("key.edit", &["KeyService/EditKey"], &[(PATCH, "/data-plane-keys/{id}")], Operator),
    change("key.revoke", &["KeyService/RevokeKey"], &[(PUT, "/data-plane-keys/{id}/revoke")], Operator),
    change("key.delete", &["KeyService/DeleteKey", "KeyService/DeleteKeys"],
        &[(DELETE, "/data-plane-keys/{id}"), (PATCH, "/data-plane-keys")], Admin),
    read(&["AgentService/ListAgents"], &[(GET, "/agents")], Viewer),
    read(&["AgentService/GetAgent"], &[(GET, "/agents/{id}")], Viewer),
    read(&["AgentService/ListInstances"], &[(GET, "/instances"), (GET, "/instances/{id}")], Viewer),
    change("instance.delete", &["AgentService/DeleteInstances"],
        &[(PATCH, "/instances"), (DELETE, "/instances/{id}")], Admin),
    read(&["SessionService/ListSessions"], &[(GET, "/sessions")], Viewer),
    change("session.disconnect", &["SessionService/DisconnectSession"], &[(DELETE, "/sessions/{id}")], Operator),
    read(&["RejectionService/ListRejections"], &[(GET, "/rejections")], Viewer),
    read(&["EventService/StreamEvents"], &[(GET, "/events")], Viewer),
    read(&["GatewayService/ListGateways"], &[(GET, "/gateways")], Viewer),
    change("gateway.forget", &["GatewayService/ForgetGateway"], &[(DELETE, "/gateways/{id}")], Admin),
    read(&["TokenService/ListTokens"], &[(GET, "/tokens")], Admin),
    read(&[], &[(GET, "/tokens/mine")], Viewer),
    change("token.create", &["TokenService/CreateToken"], &[(POST, "/tokens")], Admin),
    change("token.revoke", &["TokenService/RevokeToken"], &[(DELETE, "/tokens/{id}")], Admin),
    read(&["AuditService/ListAudit"], &[(GET, "/audit")], Viewer),
    read(&["SettingsService/GetInstanceCleanup"], &[(GET, "/settings/instance-cleanup")], Viewer),
    change("settings.edit", &["SettingsService/SetInstanceCleanup"],
        &[(PATCH, "/settings/instance-cleanup"), (PUT, "/settings/instance-cleanup")], Admin),
    read(&[], &[(GET, "/about"), (GET, "/agent-config")], Viewer),
];

/// The descriptions of the gRPC API, which any token may read.
static REFLECTION: Call = read(&[], &[], Viewer);
const REFLECTION_PATHS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The call of a gRPC path; `None`: there is none.
pub(super) fn of_grpc(path: &str) -> Option<&'static Call> {
    if REFLECTION_PATHS.contains(&path) {
        return Some(&REFLECTION);
    }
    let method = path.strip_prefix("/muster.admin.v1.")?;
    CALLS.iter().find(|call| call.grpc.contains(&method))
}

/// The call of a REST method and route; `None`: there is none.
pub(super) fn of_rest(method: &Method, route: &str) -> Option<&'static Call> {
    let (_, route) = route.split_once("/namespaces/{namespace}")?;
    let method = match *method {
        // A HEAD is answered as the GET, without its body.
        Method::HEAD => &Method::GET,
        _ => method,
    };
    CALLS
        .iter()
        .find(|call| call.rest.iter().any(|(m, r)| m == method && *r == route))
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::{FileDescriptorProto, FileDescriptorSet};

    use super::*;
    use crate::proto::admin::v1::DESCRIPTORS;

    /// The comment of a method; its place in a file is
    /// `[6 (services), service, 2 (methods), method]`.
    fn comment(file: &FileDescriptorProto, service: usize, method: usize) -> String {
        let path = [6, service, 2, method].map(|n| i32::try_from(n).unwrap());
        let info = file.source_code_info.as_ref().unwrap();
        let place = info.location.iter().find(|place| place.path == path);
        place.unwrap().leading_comments().replace('\n', " ")
    }

    #[test]
    fn every_grpc_method_is_in_the_table_and_its_comment_says_the_role() {
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let mut seen = 0;
        for file in &set.file {
            for (s, service) in file.service.iter().enumerate() {
                for (m, method) in service.method.iter().enumerate() {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let call = of_grpc(&path).unwrap_or_else(|| panic!("{path}: add it"));
                    let said = comment(file, s, m);
                    let role = format!("Role: {}.", call.role);
                    assert!(said.contains(&role), "{path}: its comment lacks {role:?}");
                    // Tokens are listed by admins alone, and yet only read.
                    let reads = call.role == Viewer || method.name().starts_with("List");
                    assert_eq!(call.action.is_none(), reads, "{path}");
                    seen += 1;
                }
            }
        }
        let in_table: usize = CALLS.iter().map(|call| call.grpc.len()).sum();
        assert_eq!(seen, in_table, "a method in the table does not exist");
        assert!(of_grpc("/muster.admin.v1.KeyService/Nothing").is_none());
    }

    #[test]
    fn every_rest_route_is_in_the_table_and_has_an_action_unless_it_is_a_get() {
        let document = serde_json::to_value(super::super::rest::document()).unwrap();
        let mut seen = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                let method: Method = method.to_uppercase().parse().unwrap();
                let call = of_rest(&method, path).unwrap_or_else(|| panic!("{method} {path}"));
                assert_eq!(call.action.is_none(), method == GET, "{method} {path}");
                seen += 1;
            }
        }
        let in_table: usize = CALLS.iter().map(|call| call.rest.len()).sum();
        assert_eq!(seen, in_table, "a route in the table does not exist");
    }
}
