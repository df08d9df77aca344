//! `muster tokens …`, and what a small role is told.

use std::fs;

use super::{Site, fields, mode};

#[tokio::test]
async fn a_token_lets_somebody_else_do_what_its_role_allows_until_it_is_revoked() {
    let site = Site::start().await;
    site.key("web").await;
    let words = ["tokens", "create", "eve", "--role", "viewer"];
    let made = site
        .run(&[&words[..], &["--token-out", "eve.token"]].concat())
        .await;
    assert_eq!(made.ok(), "");
    assert_eq!(mode(&site.path("eve.token")), 0o600);
    let secret = fs::read_to_string(site.path("eve.token")).unwrap();
    assert!(!made.err.contains(&secret[21..64]), "{}", made.err);

    let as_eve = ["--token-file", "eve.token"];
    let list = [&["keys", "list"][..], &as_eve].concat();
    assert!(site.run(&list).await.ok().contains("web"));
    let refused = ["this needs the role operator", "has the role viewer"];
    let revoke = ["keys", "revoke", "web", "--yes"];
    site.run(&[&revoke[..], &as_eve].concat())
        .await
        .refused(1, &refused);
    let create = ["tokens", "create", "x", "--role", "admin"];
    site.run(&[&create[..], &as_eve].concat())
        .await
        .refused(1, &["this needs the role admin"]);

    let listed = site.run(&["tokens", "list", "-o", "json"]).await.json();
    assert_eq!(
        fields(&listed[1]),
        [
            "created_at",
            "expires_at",
            "name",
            "object_id",
            "role",
            "status",
            "yours"
        ]
    );
    let row = |at: usize| {
        let row = &listed[at];
        let text = |field: &str| row[field].as_str().unwrap().to_owned();
        (text("name"), text("role"), row["yours"] == true)
    };
    assert_eq!(row(0), ("first".into(), "admin".into(), true));
    assert_eq!(row(1), ("eve".into(), "viewer".into(), false));

    site.run(&["tokens", "revoke", "eve"])
        .await
        .refused(2, &["--yes", "Nothing was revoked"]);
    let id = listed[1]["object_id"].as_str().unwrap();
    let revoked = site.run(&["tokens", "revoke", "eve", "--yes"]).await;
    assert_eq!(revoked.ok(), format!("{id} \"eve\": revoked\n"));
    site.run(&list)
        .await
        .refused(1, &["was revoked", "eve.token"]);
    let table = site.run(&["tokens", "list"]).await;
    assert!(table.ok().contains("revoked  viewer"), "{}", table.out);
}

#[tokio::test]
async fn the_last_admin_token_is_refused_with_what_to_do() {
    let site = Site::start().await;
    let revoke = ["tokens", "revoke", "first", "--yes"];
    site.run(&revoke)
        .await
        .refused(1, &["last valid admin token", "--role admin"]);
    let words = ["tokens", "create", "anna", "--role", "admin"];
    let made = site
        .run(&[&words[..], &["--expires-in", "90d"]].concat())
        .await;
    assert!(made.err.contains("(in 90 days)"), "{}", made.err);
    fs::write(site.path("anna.token"), made.ok()).unwrap();
    site.run(&revoke).await.ok();
    let as_anna = ["tokens", "list", "--token-file", "anna.token"];
    assert!(site.run(&as_anna).await.ok().contains("anna (yours)"));
    site.run(&["keys", "list"])
        .await
        .refused(1, &["was revoked"]);
}
