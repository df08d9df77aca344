//! Tokens and roles: who may call what, and when a token ends.

use std::sync::Arc;

use http::uri::PathAndQuery;
use muster::proto::admin::v1 as pb;
use muster::proto::admin::v1::Role;
use muster::store::KeyStore;
use muster::store::embedded::EmbeddedStore;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::client::Grpc;
use tonic::{Code, Request, Status};

use crate::support::{Operator, TestGateway};

/// What every token may do, and what it takes an operator for; the rest is for
/// admins.
const VIEWERS: [&str; 11] = [
    "ListAudit",
    "GetKey",
    "ListKeys",
    "ListAgents",
    "GetAgent",
    "ListInstances",
    "ListSessions",
    "ListGateways",
    "ListRejections",
    "StreamEvents",
    "GetInstanceCleanup",
];
const OPERATORS: [&str; 3] = ["EditKey", "RevokeKey", "DisconnectSession"];

/// Each call of the admin API: its path and the least role.
fn calls() -> Vec<(String, Role)> {
    let set = FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap();
    let mut calls = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let role = match method.name() {
                    name if VIEWERS.contains(&name) => Role::Viewer,
                    name if OPERATORS.contains(&name) => Role::Operator,
                    _ => Role::Admin,
                };
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                calls.push((path, role));
            }
        }
    }
    calls
}

/// Calls `path` with an empty message.
async fn call(operator: &Operator, path: &str) -> Result<(), Status> {
    let mut grpc = Grpc::new(operator.client());
    grpc.ready().await.unwrap();
    let path: PathAndQuery = path.parse().unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    grpc.unary(Request::new(()), path, codec).await.map(|_| ())
}

#[tokio::test]
async fn every_call_is_open_to_its_role_and_the_greater_ones_alone() {
    let gateway = TestGateway::start().await;
    let admin = gateway.operator().await;
    let nobody = gateway.operator_with("").await;
    let mut holders = Vec::new();
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        let (id, secret) = admin.token(role).await;
        holders.push((role, id, gateway.operator_with(&secret).await));
    }
    let calls = calls();
    assert!(calls.len() >= 16, "{calls:?}");
    for (path, least) in &calls {
        let refused = call(&nobody, path).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{path}: {refused}");
        for (held, id, holder) in &holders {
            let answer = call(holder, path).await;
            let code = answer.as_ref().err().map(Status::code);
            if held < least {
                assert_eq!(code, Some(Code::PermissionDenied), "{path} as {held:?}");
                let said = answer.unwrap_err().message().to_owned();
                let word = |role: &Role| role.as_str_name()["ROLE_".len()..].to_lowercase();
                for part in [&word(least), &word(held), id] {
                    assert!(said.contains(part), "{path}: {said}");
                }
            } else {
                let refused = [
                    Code::PermissionDenied,
                    Code::Unauthenticated,
                    Code::Unavailable,
                ];
                assert!(
                    code.is_none_or(|code| !refused.contains(&code)),
                    "{path} as {held:?}: {answer:?}"
                );
            }
        }
    }
    let unknown = call(&admin, "/muster.admin.v1.KeyService/Nothing").await;
    assert_eq!(unknown.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_its_next_call() {
    let gateway = TestGateway::start().await;
    let admin = gateway.operator().await;
    let (id, secret) = admin.token(Role::Operator).await;
    let holder = gateway.operator_with(&secret).await;
    let list = "/muster.admin.v1.KeyService/ListKeys";
    call(&holder, list).await.unwrap();
    let revoked = admin.revoke_token(&id).await.unwrap();
    assert_eq!(revoked.status, "revoked");
    // On the connection that it has, and on a new one.
    for holder in [holder, gateway.operator_with(&secret).await] {
        let refused = call(&holder, list).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(refused.message().contains("was revoked"), "{refused}");
    }
    let again = admin.revoke_token(&id).await.unwrap();
    assert_eq!(again, revoked, "the revoke that was");
    let nobody = admin.revoke_token("tok_0123456789ABCDEF").await;
    assert_eq!(nobody.unwrap_err().code(), Code::NotFound);
    let no_id = admin.revoke_token("first").await;
    assert_eq!(no_id.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_token_expires_by_the_stores_clock() {
    let store = EmbeddedStore::in_memory().unwrap();
    let gateway = TestGateway::over(Arc::new(store.clone()), |_| {}).await;
    let admin = gateway.operator().await;
    let hour = std::time::Duration::from_secs(3600);
    let mut request = pb::CreateTokenRequest {
        name: "brief".into(),
        role: Role::Viewer.into(),
        expires_at: Some((std::time::SystemTime::now() + hour).into()),
    };
    let made = admin.tokens().create_token(request.clone()).await.unwrap();
    let made = made.into_inner();
    let holder = gateway.operator_with(&made.secret).await;
    let list = "/muster.admin.v1.KeyService/ListKeys";
    call(&holder, list).await.unwrap();
    store.clock().set_shift_millis(2 * 3600 * 1000);
    let refused = call(&holder, list).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("has expired"), "{refused}");
    // The first token does not expire.
    let listed = admin.list_tokens(1).await;
    let statuses: Vec<_> = listed
        .iter()
        .map(|t| (t.status.as_str(), t.yours))
        .collect();
    assert_eq!(statuses, [("valid", true), ("expired", false)]);
    assert_eq!(listed[0].expires_at, None);

    // What is past by now is refused, and so are no role and a bad name.
    let past = admin.tokens().create_token(request.clone()).await;
    request.expires_at = None;
    for wrong in [
        past,
        admin
            .tokens()
            .create_token(pb::CreateTokenRequest {
                role: 0,
                ..request.clone()
            })
            .await,
        admin
            .tokens()
            .create_token(pb::CreateTokenRequest {
                name: String::new(),
                ..request
            })
            .await,
    ] {
        let status = wrong.map(|_| ()).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    assert_eq!(admin.list_tokens(100).await.len(), 2);
}

#[tokio::test]
async fn the_last_admin_token_stays() {
    let gateway = TestGateway::start().await;
    let first = gateway.operator().await;
    let own = first.list_tokens(100).await[0].object_id.clone();
    first.token(Role::Operator).await;
    let refused = first.revoke_token(&own).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("--role admin"), "{refused}");
    // With another admin it may go, by its own hand.
    let (_, secret) = first.token(Role::Admin).await;
    let gone = first.revoke_token(&own).await.unwrap();
    assert!(gone.yours);
    let second = gateway.operator_with(&secret).await;
    assert_eq!(second.list_tokens(2).await.len(), 3);
    // Not even the one that revoked itself gets in again.
    let refused = first.revoke_token(&own).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_tokens_secret_is_shown_once() {
    let gateway = TestGateway::start().await;
    let admin = gateway.operator().await;
    let (id, secret) = admin.token(Role::Viewer).await;
    assert!(secret.starts_with(&format!("mat_{}_", &id["tok_".len()..])));
    let listed = admin.list_tokens(100).await;
    let revoked = admin.revoke_token(&id).await.unwrap();
    // All that the API says of a token, in its widest form.
    for said in [format!("{listed:?}"), format!("{revoked:?}")] {
        assert!(said.contains(&id) && !said.contains(&secret[21..64]));
    }
}

#[tokio::test]
async fn a_restart_keeps_tokens_and_their_ends() {
    let gateway = TestGateway::in_dir(Arc::new(tempfile::tempdir().unwrap())).await;
    let admin = gateway.operator().await;
    let own = admin.list_tokens(100).await[0].object_id.clone();
    let (_, secret) = admin.token(Role::Admin).await;
    admin.revoke_token(&own).await.unwrap();
    let dir = Arc::clone(&gateway.data_dir);
    drop(admin);
    gateway.stopped().await;
    // The file holds a token that opens nothing: it starts all the same.
    let gateway = TestGateway::in_dir(dir).await;
    let list = "/muster.admin.v1.KeyService/ListKeys";
    let refused = call(&gateway.operator().await, list).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let other = gateway.operator_with(&secret).await;
    assert_eq!(other.list_tokens(100).await.len(), 2);
    // Moved away, it makes room for another: the owner's way in.
    let dir = Arc::clone(&gateway.data_dir);
    drop(other);
    gateway.stopped().await;
    std::fs::remove_file(dir.path().join("admin.token")).unwrap();
    let gateway = TestGateway::in_dir(dir).await;
    let owner = gateway.operator().await;
    assert_eq!(owner.list_tokens(100).await.len(), 3);
}
