//! A key's life and its dates, over the admin API.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use muster::proto::admin::v1 as pb;
use muster::proto::admin::v1::delete_outcome::Outcome;
use muster::store::KeyStore;
use muster::store::embedded::EmbeddedStore;
use tonic::{Code, Status};

use crate::support::{Operator, TestGateway};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn create(
    operator: &Operator,
    name: &str,
    expires_at: Option<SystemTime>,
) -> Result<pb::Key, Status> {
    let request = pb::CreateKeyRequest {
        name: name.into(),
        expires_at: expires_at.map(Into::into),
    };
    let response = operator.keys().create_key(request).await?;
    Ok(response.into_inner().key.unwrap())
}

async fn rename(operator: &Operator, id: &str, name: &str) -> Result<pb::Key, Status> {
    let request = pb::EditKeyRequest {
        object_id: id.into(),
        name: Some(name.into()),
        expires_at: None,
        if_revision: None,
    };
    let response = operator.keys().edit_key(request).await?;
    Ok(response.into_inner().key.unwrap())
}

fn refused(result: Result<pb::Key, Status>, code: Code, text: &str) {
    let status = result.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(text), "{text:?} in {status}");
}

#[tokio::test]
async fn a_key_is_made_with_the_default_life() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let request = pb::CreateKeyRequest {
        name: "edge".into(),
        expires_at: None,
    };
    let created = operator
        .keys()
        .create_key(request)
        .await
        .unwrap()
        .into_inner();
    let key = created.key.unwrap();
    assert!(created.secret.starts_with("dpk_") && created.secret.len() == 70);
    assert_eq!(key.object_id[4..], created.secret[4..20]);
    assert_eq!(
        (key.name.as_str(), key.namespace.as_str()),
        ("edge", "default")
    );
    assert_eq!(key.status(), pb::KeyStatus::Valid);
    let life = key.expires_at.unwrap().seconds - key.created_at.unwrap().seconds;
    let days = life / 86_400;
    assert!((365..=366).contains(&days), "{days} days");
    assert_eq!(operator.show(&key.object_id).await.unwrap(), key);
}

#[tokio::test]
async fn names_and_expiries_obey_the_rules() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let now = SystemTime::now();
    let bad = |name, expiry| create(&operator, name, expiry);
    refused(
        bad("", None).await,
        Code::InvalidArgument,
        "1 to 128 characters",
    );
    let long = "n".repeat(129);
    refused(
        bad(&long, None).await,
        Code::InvalidArgument,
        "this one has 129",
    );
    let past = Some(now - DAY);
    refused(
        bad("k", past).await,
        Code::InvalidArgument,
        "is in the past",
    );
    let far = Some(now + 368 * DAY);
    refused(bad("k", far).await, Code::InvalidArgument, "too far ahead");
    let absurd = pb::CreateKeyRequest {
        name: "k".into(),
        expires_at: Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: -5,
        }),
    };
    let status = operator.keys().create_key(absurd).await.err().unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);
    let list = pb::ListKeysRequest::default();
    let list = operator.keys().list_keys(list).await.unwrap().into_inner();
    assert!(list.keys.is_empty(), "nothing was changed");

    create(&operator, &"é".repeat(128), Some(now + 365 * DAY))
        .await
        .unwrap();
    create(&operator, "k", Some(now + Duration::from_secs(5)))
        .await
        .unwrap();
    create(&operator, "k", None)
        .await
        .expect("names need not be unique");
}

#[tokio::test]
async fn the_expiry_can_be_moved_both_ways_until_the_end() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, _) = operator.key("k").await;
    for life in [DAY, 300 * DAY, Duration::from_secs(3600)] {
        let key = operator.set_expiry(&id, life).await.unwrap();
        let left = key.expires_at.unwrap().seconds - key.modified_at.unwrap().seconds;
        assert!(left.abs_diff(life.as_secs() as i64) <= 2, "{left}");
    }
    let too_far = operator.set_expiry(&id, 368 * DAY).await;
    refused(too_far, Code::InvalidArgument, "too far ahead");
    operator.revoke(&id).await;
    let revoked = operator.set_expiry(&id, DAY).await;
    refused(revoked, Code::FailedPrecondition, "a revoke is final");
    let renamed = rename(&operator, &id, "still").await.unwrap();
    assert_eq!(
        (renamed.name.as_str(), renamed.status()),
        ("still", pb::KeyStatus::Revoked)
    );
    refused(
        rename(&operator, &id, "").await,
        Code::InvalidArgument,
        "1 to 128",
    );
    let nothing = pb::EditKeyRequest {
        object_id: id.clone(),
        ..Default::default()
    };
    let status = operator.keys().edit_key(nothing).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("nothing to change"));
}

#[tokio::test]
async fn an_expired_key_can_be_renamed_revoked_and_deleted_but_not_extended() {
    let store = Arc::new(EmbeddedStore::in_memory().unwrap());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (id, _) = operator.key_for("k", DAY).await;
    let (unrevoked, _) = operator.key_for("k", DAY).await;
    let valid = operator.delete(&id).await.unwrap_err();
    assert_eq!(valid.code(), Code::FailedPrecondition);
    assert!(valid.message().contains("revoke it first"), "{valid}");

    store.clock().set_shift_millis(25 * 3600 * 1000);
    assert_eq!(
        operator.show(&id).await.unwrap().status(),
        pb::KeyStatus::Expired
    );
    let extended = operator.set_expiry(&id, 10 * DAY).await;
    refused(
        extended,
        Code::FailedPrecondition,
        "can be moved only before",
    );
    rename(&operator, &id, "renamed").await.unwrap();
    let outcome = operator.revoke(&id).await;
    assert_eq!(
        outcome.key.unwrap().status(),
        pb::KeyStatus::Revoked,
        "wins"
    );
    for id in [&id, &unrevoked] {
        operator.delete(id).await.unwrap();
        let gone = operator.show(id).await.unwrap_err();
        assert_eq!(gone.code(), Code::NotFound);
        assert_eq!(
            operator.delete(id).await.unwrap_err().code(),
            Code::NotFound
        );
    }
}

#[tokio::test]
async fn a_revoke_is_final_and_idempotent() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, _) = operator.key("k").await;
    let first = operator.revoke(&id).await;
    let again = operator.revoke(&id).await;
    assert!(first.complete && again.complete);
    assert_eq!(first.revision, again.revision);
    assert_eq!(first.key, again.key);
    assert!(first.key.unwrap().revoked_at.is_some());
    assert_eq!(first.gateways.len(), 1);
    assert!(first.gateways[0].applied);
}

#[tokio::test]
async fn several_are_deleted_each_for_itself() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (revoked, _) = operator.key("old").await;
    let (valid, _) = operator.key("new").await;
    operator.revoke(&revoked).await;
    let ids = [
        revoked.as_str(),
        valid.as_str(),
        "key_0123456789ABCDEF",
        "what",
    ];
    let request = pb::DeleteKeysRequest {
        object_ids: ids.map(String::from).to_vec(),
    };
    let outcomes = operator
        .keys()
        .delete_keys(request)
        .await
        .unwrap()
        .into_inner()
        .outcomes;
    let words: Vec<_> = outcomes.iter().map(pb::DeleteOutcome::outcome).collect();
    assert_eq!(
        words,
        [
            Outcome::Deleted,
            Outcome::Failed,
            Outcome::Failed,
            Outcome::Invalid
        ]
    );
    assert_eq!(outcomes[0].name, "old");
    assert!(outcomes[1].failure_reason.contains("is valid"));
    for count in [0, 51] {
        let request = pb::DeleteKeysRequest {
            object_ids: vec![valid.clone(); count],
        };
        let status = operator.keys().delete_keys(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn lists_filter_and_page_in_order_of_creation() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let mut ids = Vec::new();
    for n in 0..25 {
        let life = if n % 5 == 0 { 10 * DAY } else { 100 * DAY };
        ids.push(operator.key_for(&format!("k{n}"), life).await.0);
    }
    for id in &ids[..3] {
        operator.revoke(id).await;
    }
    let all = list(&operator, pb::ListKeysRequest::default(), 7).await;
    assert_eq!(all, ids);
    let revoked = pb::ListKeysRequest {
        status: pb::KeyStatus::Revoked.into(),
        ..Default::default()
    };
    assert_eq!(list(&operator, revoked, 2).await, ids[..3]);
    let expiring = pb::ListKeysRequest {
        expiring_within_seconds: 30 * 24 * 3600,
        ..Default::default()
    };
    let soon: Vec<_> = [5, 10, 15, 20].map(|n: usize| ids[n].clone()).to_vec();
    assert_eq!(
        list(&operator, expiring, 3).await,
        soon,
        "revoked ones don't count"
    );
    let named = pb::ListKeysRequest {
        name: "k7".into(),
        ..Default::default()
    };
    assert_eq!(list(&operator, named, 100).await, ids[7..8]);
    for bad in [
        pb::ListKeysRequest {
            status: 9,
            ..Default::default()
        },
        pb::ListKeysRequest {
            page_size: 1001,
            ..Default::default()
        },
        pb::ListKeysRequest {
            page_token: "what".into(),
            ..Default::default()
        },
    ] {
        let status = operator.keys().list_keys(bad).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
}

/// The ids of all pages.
async fn list(operator: &Operator, request: pb::ListKeysRequest, page_size: u32) -> Vec<String> {
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListKeysRequest {
            page_size,
            page_token,
            ..request.clone()
        };
        let page = operator
            .keys()
            .list_keys(request)
            .await
            .unwrap()
            .into_inner();
        assert!(page.keys.len() <= page_size as usize);
        ids.extend(page.keys.into_iter().map(|key| key.object_id));
        if page.next_page_token.is_empty() {
            return ids;
        }
        page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn malformed_ids_are_refused_by_name() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let misshapen = operator.show("edge").await.unwrap_err();
    assert_eq!(misshapen.code(), Code::InvalidArgument);
    assert!(
        misshapen.message().contains("object_id: not an id"),
        "{misshapen}"
    );
    let unknown = operator.show("key_0123456789ABCDEF").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}
