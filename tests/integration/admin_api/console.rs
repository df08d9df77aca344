//! The console's server side: what a browser is told with each answer, signing
//! in and out, what the cookie opens and what it does not.

use muster::proto::admin::v1 as pb;
use serde_json::{Value, json};

use crate::support::{
    Answer, Process, RedisServer, RestCaller, TestGateway, eventually, free_port, get_from_ops,
};

const SESSION: &str = "/console/session";
const KEYS: &str = "/api/v1/namespaces/default/data-plane-keys";
const JSON: (&str, &str) = ("content-type", "application/json");
const CONSOLE: (&str, &str) = ("x-muster-console", "1");
const OWN: (&str, &str) = ("origin", "https://localhost");

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.lines().find_map(|line| {
        let (is, value) = line.split_once(": ")?;
        is.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// A browser: it has no token but in its cookie.
fn browser(gateway: &TestGateway) -> (RestCaller, String) {
    let mut rest = gateway.rest();
    let token = rest.token.take().unwrap();
    (rest, token)
}

async fn sign_in(rest: &RestCaller, token: &str) -> Answer {
    let body = json!({"token": token}).to_string();
    rest.raw("POST", SESSION, &[JSON, CONSOLE, OWN], &body)
        .await
}

/// The cookie as a browser sends it back.
async fn cookie(rest: &RestCaller, token: &str) -> String {
    let answer = sign_in(rest, token).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    let set = header(&answer, "set-cookie").unwrap();
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn every_answer_tells_browsers_to_run_and_keep_nothing_else() {
    let gateway = TestGateway::start().await;
    let (mut rest, token) = browser(&gateway);
    let page = rest.raw("GET", "/", &[], "").await;
    assert_eq!(page.status, 200);
    assert!(
        page.text
            .contains("<script type=\"module\" src=\"/assets/js/app.js\">")
    );
    let script = rest.raw("GET", "/assets/js/app.js", &[], "").await;
    assert_eq!(script.status, 200);
    let none = rest.raw("GET", "/assets/js/none.js", &[], "").await;
    assert_eq!(none.status, 404);
    none.error();
    let refused = rest.raw("GET", KEYS, &[], "").await;
    assert_eq!(refused.status, 401);
    rest.token = Some(token);
    let keys = rest.raw("GET", KEYS, &[], "").await;
    assert_eq!(keys.status, 200);
    for answer in [&page, &script, &none, &refused, &keys] {
        let policy = header(answer, "content-security-policy").unwrap();
        for rule in [
            "default-src 'none'",
            "script-src 'self';",
            "style-src 'self';",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(header(answer, name), Some(value), "{answer:?}");
        }
        assert_eq!(header(answer, "access-control-allow-origin"), None);
    }
    for answer in [&none, &refused, &keys] {
        assert_eq!(header(answer, "cache-control"), Some("no-store"));
    }
    for answer in [&page, &script] {
        assert_eq!(header(answer, "cache-control"), Some("no-cache"));
    }
    assert_eq!(
        header(&script, "content-type"),
        Some("text/javascript; charset=utf-8")
    );
}

#[tokio::test]
async fn files_are_asked_for_again_and_sent_once() {
    let gateway = TestGateway::start().await;
    let (rest, _) = browser(&gateway);
    let first = rest.raw("GET", "/", &[], "").await;
    let tag = header(&first, "etag").unwrap();
    let again = rest.raw("GET", "/", &[("if-none-match", tag)], "").await;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    assert_eq!(header(&again, "etag"), Some(tag));
    let head = rest.raw("HEAD", "/", &[], "").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(
        header(&head, "content-length"),
        header(&first, "content-length")
    );
    let posted = rest.raw("POST", "/", &[JSON], "{}").await;
    assert_eq!(posted.status, 405);
}

#[tokio::test]
async fn a_good_token_becomes_a_cookie_that_only_this_console_can_use() {
    let gateway = TestGateway::start().await;
    let (rest, token) = browser(&gateway);
    let answer = sign_in(&rest, &format!(" Bearer {token}\n")).await;
    assert_eq!(
        header(&answer, "set-cookie").unwrap(),
        format!("__Host-muster={token}; Path=/; Secure; HttpOnly; SameSite=Strict")
    );
    assert_eq!(header(&answer, "cache-control"), Some("no-store"));
    let cookie = cookie(&rest, &token).await;
    let with = ("cookie", cookie.as_str());

    let mine = "/api/v1/namespaces/default/tokens/mine";
    let seen = rest.raw("GET", mine, &[with], "").await;
    assert_eq!((seen.status, &seen.json()["role"]), (200, &json!("admin")));

    let new = json!({"name": "k"}).to_string();
    let made = async |headers: &[(&str, &str)]| {
        let headers = [&[JSON, with], headers].concat();
        rest.raw("POST", KEYS, &headers, &new).await
    };
    for bad in [
        &[][..],
        &[OWN],
        &[("x-muster-console", "0"), OWN],
        &[CONSOLE, ("origin", "https://evil.example")],
        &[CONSOLE, ("origin", "https://localhost:1")],
        &[CONSOLE, ("origin", "http://localhost")],
        &[CONSOLE, ("origin", "null")],
    ] {
        let refused = made(bad).await;
        assert_eq!(refused.status, 403, "{bad:?}: {refused:?}");
        assert!(!refused.error().is_empty());
    }
    assert_eq!(made(&[CONSOLE, OWN]).await.status, 200);
    assert_eq!(made(&[CONSOLE]).await.status, 200);
    let keys = rest.raw("GET", KEYS, &[with], "").await;
    assert_eq!(keys.json()["total"], 2, "the refused ones made none");
    // Where both are there, the header counts: its sender is no page of others.
    let header = format!("Bearer {token}");
    let plain = [
        ("authorization", header.as_str()),
        ("cookie", "__Host-muster=x"),
        JSON,
    ];
    assert_eq!(rest.raw("POST", KEYS, &plain, &new).await.status, 200);
}

#[tokio::test]
async fn a_refused_sign_in_says_what_rest_says_and_sets_nothing() {
    let gateway = TestGateway::start().await;
    let (mut rest, token) = browser(&gateway);
    let unknown = muster::keys::mint(muster::keys::Kind::AdminToken).unwrap();
    let unknown = secrecy::ExposeSecret::expose_secret(&unknown.text).to_owned();
    for bad in ["", "x", &token[..40], &unknown] {
        let refused = sign_in(&rest, bad).await;
        assert_eq!(refused.status, 401, "{refused:?}");
        assert_eq!(header(&refused, "set-cookie"), None);
        rest.token = Some(bad.to_owned());
        let told = rest.raw("GET", KEYS, &[], "").await;
        rest.token = None;
        assert_eq!(refused.error(), told.error());
    }
    let body = json!({"token": token}).to_string();
    for headers in [
        &[JSON][..],
        &[JSON, CONSOLE, ("origin", "https://evil.example")],
    ] {
        let refused = rest.raw("POST", SESSION, headers, &body).await;
        assert_eq!(refused.status, 403, "{refused:?}");
        assert_eq!(header(&refused, "set-cookie"), None);
    }
    for body in ["", "[]", "{\"token\": 5}", &format!("{{\"{token}\": 1}}")] {
        let refused = rest.raw("POST", SESSION, &[JSON, CONSOLE], body).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(!refused.error().contains(&token[20..]), "{refused:?}");
    }
}

#[tokio::test]
async fn the_cookie_has_its_tokens_role_and_ends_with_it() {
    let gateway = TestGateway::start().await;
    let (rest, _) = browser(&gateway);
    let operator = gateway.operator().await;
    let (id, token) = operator.token(pb::Role::Viewer).await;
    let cookie = cookie(&rest, &token).await;
    let with = ("cookie", cookie.as_str());
    let looks = async || rest.raw("GET", KEYS, &[with], "").await;
    assert_eq!(looks().await.status, 200);
    let body = json!({"name": "k"}).to_string();
    let made = rest
        .raw("POST", KEYS, &[with, JSON, CONSOLE, OWN], &body)
        .await;
    assert_eq!(made.status, 403);
    assert!(made.error().contains("needs the role"), "{made:?}");

    operator.revoke_token(&id).await.unwrap();
    let out = looks().await;
    assert_eq!(out.status, 401);
    assert!(out.error().contains("was revoked"), "{out:?}");
    let again = sign_in(&rest, &token).await;
    assert_eq!(
        (again.status, again.error().contains("was revoked")),
        (401, true)
    );

    // Who signed in, and who was refused, is on record; also what the console did.
    let trail = gateway.rest().get("/audit?action=sign_in").await.json();
    let items = trail["items"].as_array().unwrap();
    let told: Vec<_> = items
        .iter()
        .map(|item| (&item["result"], &item["door"]))
        .collect();
    let door = json!("console");
    assert_eq!(told, [(&json!("refused"), &door), (&json!("ok"), &door)]);
    let by = |item: &Value| item["actor"].as_str().unwrap().contains(&id);
    assert!(items.iter().all(by), "{items:?}");
    let refused = gateway.rest().get("/audit?action=key.create").await.json();
    assert_eq!(refused["items"][0]["door"], "console");
}

#[tokio::test]
async fn signing_out_takes_the_cookie_away_whatever_it_is_worth() {
    let gateway = TestGateway::start().await;
    let (rest, _) = browser(&gateway);
    for headers in [
        &[CONSOLE, OWN][..],
        &[CONSOLE, OWN, ("cookie", "__Host-muster=mat_x")],
    ] {
        let out = rest.raw("DELETE", SESSION, headers, "").await;
        assert_eq!(out.status, 204, "{out:?}");
        assert_eq!(
            header(&out, "set-cookie").unwrap(),
            "__Host-muster=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"
        );
    }
    let other = rest.raw("DELETE", SESSION, &[OWN], "").await;
    assert_eq!((other.status, header(&other, "set-cookie")), (403, None));
}

#[tokio::test]
async fn the_cookie_is_in_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Process::start(dir.path(), &["--log", "trace"]).await;
    let address = gateway.file("admin.url");
    let address = address
        .trim()
        .trim_start_matches("https://")
        .parse()
        .unwrap();
    let rest = RestCaller::to(address, &gateway.file("ca.pem"), None);
    let token = gateway.token().trim().to_owned();
    let cookie = cookie(&rest, &token).await;
    let looked = rest
        .raw("GET", KEYS, &[("cookie", cookie.as_str())], "")
        .await;
    assert_eq!(looked.status, 200);
    let bad = format!("__Host-muster={}", &token[..60]);
    assert_eq!(
        rest.raw("GET", KEYS, &[("cookie", &bad)], "").await.status,
        401
    );
    let log = gateway.stop(std::time::Duration::from_secs(20)).await;
    assert!(log.contains("sign_in"), "{log}");
    let line = log.lines().find(|line| line.contains(&token[21..60]));
    assert_eq!(line, None, "a token was printed");
}

#[tokio::test]
async fn a_browser_is_told_in_words_while_the_gateway_waits() {
    let folder = tempfile::tempdir().unwrap();
    let [redis_port, admin, ops] = [free_port(), free_port(), free_port()];
    let (admin, ops) = (format!("127.0.0.1:{admin}"), format!("127.0.0.1:{ops}"));
    let url = format!("redis://127.0.0.1:{redis_port}/0");
    let flags = [
        "--store",
        &url,
        "--ops-listen",
        &ops,
        "--admin-listen",
        &admin,
    ];
    let launched = Process::launch(folder.path(), &flags);
    eventually("it waits", async || {
        let answer = get_from_ops(&ops, "/readyz").await.unwrap_or_default();
        answer.contains("the store failed")
    })
    .await;
    let ca = std::fs::read_to_string(folder.path().join("ca.pem")).unwrap();
    let rest = RestCaller::to(admin.parse().unwrap(), &ca, None);
    let page = rest.raw("GET", "/", &[], "").await;
    assert_eq!(page.status, 503);
    assert!(page.text.contains("http-equiv=\"refresh\""), "{page:?}");
    assert!(page.text.contains("Redis"), "{page:?}");
    assert_eq!(header(&page, "cache-control"), Some("no-store"));
    assert!(header(&page, "content-security-policy").is_some());
    let style = rest.raw("GET", "/assets/css/base.css", &[], "").await;
    assert_eq!(style.status, 200);
    assert_eq!(rest.raw("HEAD", "/", &[], "").await.text, "");
    let call = rest.raw("GET", KEYS, &[], "").await;
    assert_eq!(call.status, 500);
    call.error();

    let _redis = RedisServer::start_on(redis_port);
    let _gateway = launched.ready().await;
    assert_eq!(rest.raw("GET", "/", &[], "").await.status, 200);
}
