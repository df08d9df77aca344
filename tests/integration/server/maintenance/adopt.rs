//! `muster store adopt`.

use super::{PASSWORD, Site};
use crate::support::{PATIENCE, eventually, reason_of, within};

#[tokio::test]
async fn running_gateways_go_on_with_an_adopted_store() {
    let site = Site::new();
    let first = site.launch("one").ready().await;
    let second = site.launch("two").ready().await;
    let operator = first.operator().await;
    let (_, lost) = operator.key("lost").await;
    let mut stream = first.agent(&lost).await.connect().await;
    let (revoked, revoked_key) = operator.key("revoked").await;
    operator.revoke(&revoked).await;
    let token = first.file("admin.token");
    site.raw(&["FLUSHALL"]).await;

    let url = site.url();
    let adopt = ["store", "adopt", "--data-dir", "one", "--store", &url];
    let with_yes = [&adopt[..], &["--yes", "--gateway-name", "one"]].concat();
    site.run(&adopt)
        .await
        .refused(2, &["say --yes", "Nothing was changed"]);
    assert_eq!(site.raw(&["DBSIZE"]).await, redis::Value::Int(0));
    let told = site.run(&with_yes).await;
    for words in ["answers for", "no valid admin token: tok_"] {
        assert!(told.ok().contains(words), "{}", told.out);
    }
    for words in ["there is none", "get UNAVAILABLE", "restored from a backup"] {
        assert!(told.err.contains(words), "{}", told.err);
    }
    assert_eq!(first.file("admin.token"), token);

    // Both go on, by themselves, and share keys again.
    let operator = second.operator_with(token.trim()).await;
    let key = within("a key can be made", async {
        loop {
            let request = muster::proto::admin::v1::CreateKeyRequest {
                name: "new".into(),
                expires_at: None,
            };
            match operator.keys().create_key(request).await {
                Ok(created) => return created.into_inner().secret,
                Err(refused) => assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}"),
            }
        }
    })
    .await;
    let agent = first.agent(&key).await;
    eventually("it joins the other", async || agent.join().await.is_ok()).await;
    // What the old store had is not forgotten by those who knew it.
    let agent = first.agent(&lost).await;
    eventually("a key that is lost is put off", async || {
        let refused = agent.join().await.err().map(|refused| refused.code());
        assert!(refused.is_none_or(|code| code == tonic::Code::Unavailable));
        refused.is_some()
    })
    .await;
    for gateway in [&first, &second] {
        eventually("the revoke is in the new store", async || {
            let refused = gateway.agent(&revoked_key).await.join().await.unwrap_err();
            reason_of(&refused) == "KEY_REVOKED"
        })
        .await;
    }
    // Nobody who was in was cut.
    let cut = tokio::time::timeout(std::time::Duration::from_millis(100), stream.end()).await;
    assert!(cut.is_err(), "{cut:?}");

    let told = site.run(&with_yes).await;
    assert!(told.ok().contains("Nothing to adopt"), "{}", told.out);
    assert!(!first.stop(PATIENCE).await.contains(PASSWORD));
    // A later start knows the lost one still, and is let in.
    let first = site.launch("one").ready().await;
    first.operator().await.list_tokens(10).await;
}

#[tokio::test]
async fn another_store_in_the_place_of_the_known_one_is_named() {
    let site = Site::new();
    let first = site.launch("one").ready().await;
    first.stop(PATIENCE).await;
    site.raw(&["FLUSHALL"]).await;
    let other = site.launch("other").ready().await;
    let operator = other.operator_with(other.file("admin.token").trim()).await;
    operator.key("theirs").await;

    let url = site.url();
    let adopt = ["store", "adopt", "--data-dir", "one", "--store", &url];
    let adopt = [&adopt[..], &["--yes", "-o", "json"]].concat();
    let told = site.run(&adopt).await;
    let theirs = other.file("store.id");
    assert!(told.err.contains(&format!(
        "the store {}, with 1 key and 1 gateway enrolled",
        theirs.trim()
    )));
    let done = told.json();
    assert_eq!(done["adopted"], true);
    assert_eq!(done["store"], theirs.trim());
    assert_eq!(done["admin_token"], "not_needed");
    assert_eq!(operator.list_tokens(10).await.len(), 1);
}

#[tokio::test]
async fn adopt_refuses_when_there_is_nothing_to_adopt() {
    let site = Site::new();
    let url = site.url();
    let embedded = site.launch_with("own", &[]).ready().await;
    let told = site.run(&["store", "adopt", "--data-dir", "own"]).await;
    assert!(
        told.ok().contains("Nothing to adopt: the embedded"),
        "{}",
        told.out
    );
    let new = ["store", "adopt", "--data-dir", "own", "--store", &url];
    let told = site.run(&new).await;
    assert!(
        told.ok().contains("has not been on a shared store"),
        "{}",
        told.out
    );
    embedded.stop(PATIENCE).await;
    let absent = ["store", "adopt", "--data-dir", "absent", "--store", &url];
    site.run(&absent)
        .await
        .refused(1, &["there is no such directory"]);
    assert!(!site.dir("absent").exists());
    assert_eq!(site.raw(&["DBSIZE"]).await, redis::Value::Int(0));
}

#[tokio::test]
async fn a_token_is_put_back_from_the_directory_that_has_it() {
    let site = Site::new();
    let first = site.launch("one").ready().await;
    let second = site.launch("two").ready().await;
    let token = first.file("admin.token");
    second.stop(PATIENCE).await;
    first.stop(PATIENCE).await;
    site.raw(&["FLUSHALL"]).await;
    let url = site.url();
    let adopt = async |dir: &str| {
        let adopt = [
            "store",
            "adopt",
            "--yes",
            "--data-dir",
            dir,
            "--store",
            &url,
        ];
        site.run(&adopt).await.ok().to_owned()
    };
    let told = adopt("two").await;
    assert!(told.contains("there is none here"), "{told}");
    // A start does not fail for it, and takes no token for valid by itself.
    let first = site.launch("one").ready().await;
    let told = adopt("one").await;
    assert!(told.contains("is in it again"), "{told}");
    let operator = first.operator_with(token.trim()).await;
    assert_eq!(operator.list_tokens(10).await.len(), 1);
    let told = adopt("one").await;
    assert!(told.contains("Nothing to adopt"), "{told}");
    let second = site.launch("two").ready().await;
    assert!(!site.dir("two").join("admin.token").exists());
    second
        .operator_with(token.trim())
        .await
        .list_tokens(1)
        .await;
}
