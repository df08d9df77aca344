//! What of an operator's calls goes into the audit trail: one table.
//!
//! Invariant: a call that changes something is in the table; a test holds it
//! against the protos and against the REST document.

use http::Method;

use crate::control::audit::{Action, Actor, Audit};
use crate::store::DeedResult;

/// Calls of the gRPC API that change something.
const GRPC: &[(&str, &str)] = &[
    ("/muster.admin.v1.KeyService/CreateKey", "key.create"),
    ("/muster.admin.v1.KeyService/EditKey", "key.edit"),
    ("/muster.admin.v1.KeyService/RevokeKey", "key.revoke"),
    ("/muster.admin.v1.KeyService/DeleteKey", "key.delete"),
    ("/muster.admin.v1.KeyService/DeleteKeys", "key.delete"),
    (
        "/muster.admin.v1.AgentService/DeleteInstances",
        "instance.delete",
    ),
    (
        "/muster.admin.v1.SettingsService/SetInstanceCleanup",
        "settings.edit",
    ),
    (
        "/muster.admin.v1.SessionService/DisconnectSession",
        "session.disconnect",
    ),
    (
        "/muster.admin.v1.GatewayService/ForgetGateway",
        "gateway.forget",
    ),
    ("/muster.admin.v1.TokenService/CreateToken", "token.create"),
    ("/muster.admin.v1.TokenService/RevokeToken", "token.revoke"),
];

/// The same of REST, by what follows the namespace.
const REST: &[(Method, &str, &str)] = &[
    (Method::POST, "/data-plane-keys", "key.create"),
    (Method::PATCH, "/data-plane-keys", "key.delete"),
    (Method::PATCH, "/data-plane-keys/{id}", "key.edit"),
    (Method::DELETE, "/data-plane-keys/{id}", "key.delete"),
    (Method::PUT, "/data-plane-keys/{id}/revoke", "key.revoke"),
    (Method::PATCH, "/instances", "instance.delete"),
    (Method::DELETE, "/instances/{id}", "instance.delete"),
    (Method::PATCH, "/settings/instance-cleanup", "settings.edit"),
    (Method::PUT, "/settings/instance-cleanup", "settings.edit"),
    (Method::DELETE, "/sessions/{id}", "session.disconnect"),
    (Method::DELETE, "/gateways/{id}", "gateway.forget"),
    (Method::POST, "/tokens", "token.create"),
    (Method::DELETE, "/tokens/{id}", "token.revoke"),
];

/// The action of a gRPC call; `None`: it changes nothing.
pub(super) fn of_grpc(path: &str) -> Option<&'static str> {
    let found = GRPC.iter().find(|(call, _)| *call == path);
    found.map(|(_, action)| *action)
}

/// The action of a REST call by its route; `None`: it changes nothing.
pub(super) fn of_rest(method: &Method, route: &str) -> Option<&'static str> {
    let (_, rest) = route.split_once("/namespaces/{namespace}")?;
    let found = REST
        .iter()
        .find(|(m, path, _)| m == method && *path == rest);
    found.map(|(_, _, action)| *action)
}

/// How a whole call went.
pub(super) struct End {
    pub result: DeedResult,
    pub reason: Option<String>,
    /// The target, where the call did not come to name one.
    pub target: Option<String>,
}

/// Notes what a call did, thing by thing.
pub(super) async fn note(audit: &Audit, name: &'static str, actor: &Actor, end: End) {
    let mut actions: Vec<_> = actor
        .take_parts()
        .into_iter()
        .map(|part| {
            let (result, reason) = part.end.unwrap_or((end.result, end.reason.clone()));
            Action {
                name,
                target: Some(part.target),
                detail: part.detail,
                result,
                reason,
            }
        })
        .collect();
    if actions.is_empty() {
        actions.push(Action {
            name,
            target: end.target,
            detail: String::new(),
            result: end.result,
            reason: end.reason,
        });
    }
    audit.note(actor.origin(), actions).await;
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::super::roles::least_role;
    use super::*;
    use crate::proto::admin::v1::DESCRIPTORS;
    use crate::store::Role;

    #[test]
    fn every_call_that_a_viewer_may_not_make_is_in_the_table() {
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let mut seen = 0;
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    // Tokens are listed by admins alone, and yet only looked at.
                    let looks = least_role(&path) == Some(Role::Viewer)
                        || method.name().starts_with("List");
                    assert_eq!(of_grpc(&path).is_none(), looks, "{path}");
                    seen += usize::from(!looks);
                }
            }
        }
        assert_eq!(seen, GRPC.len());
    }

    #[test]
    fn every_route_that_is_not_read_alone_is_in_the_table() {
        let document = serde_json::to_value(super::super::rest::document()).unwrap();
        let mut seen = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                let method: Method = method.to_uppercase().parse().unwrap();
                let action = of_rest(&method, path);
                assert_eq!(action.is_none(), method == Method::GET, "{method} {path}");
                seen += usize::from(action.is_some());
            }
        }
        assert_eq!(seen, REST.len());
    }
}
