//! Who may do what: no button is there that would fail, and the calls behind
//! them fail all the same. And signing out.

use muster::proto::admin::v1::Role;
use serde_json::json;

use super::call;
use crate::support::{Browser, TestGateway, chromedriver};

#[tokio::test]
async fn the_console_hides_buttons_that_the_role_forbids() {
    let Some(driver) = chromedriver("roles in the console") else {
        return;
    };
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (valid, key) = operator.key("valid").await;
    let (revoked, _) = operator.key("revoked").await;
    operator.revoke(&revoked).await;
    let _stream = gateway.agent(&key).await.connect().await;
    let (_, viewer) = operator.token(Role::Viewer).await;
    let (held, operators) = operator.token(Role::Operator).await;

    let mut browser = Browser::signed_in(&driver, &gateway, &viewer).await;
    browser.expect(&[403]);
    browser.row_says(&valid, "valid").await;
    browser.see("viewer").await;
    for (role, name) in [
        ("button", "Add Data Plane Key"),
        ("button", "Actions for valid"),
        ("button", "Actions for revoked"),
        ("checkbox", "Select revoked"),
    ] {
        assert_eq!(browser.count(role, name).await, 0, "{role} {name}");
    }
    let one = format!("/data-plane-keys/{valid}");
    for (method, path, body) in [
        (
            "POST",
            "/data-plane-keys".to_owned(),
            Some(json!({"name": "x"})),
        ),
        ("PATCH", one.clone(), Some(json!({"name": "x"}))),
        ("PUT", format!("{one}/revoke"), None),
        ("DELETE", one.clone(), None),
        ("GET", "/tokens".to_owned(), None),
    ] {
        let (status, told) = call(&browser, method, &path, body).await;
        assert_eq!(status, 403, "{method} {path}: {told}");
    }
    browser.visit("/#/sessions").await;
    browser.settled().await;
    assert_eq!(browser.count("button", "Disconnect").await, 0);
    browser.visit("/#/tokens").await;
    browser.see("Your role does not allow this").await;

    // Sign out: the cookie is gone, and so is the page.
    browser.click("button", "Sign out").await;
    browser.see("You have signed out.").await;
    assert_eq!(call(&browser, "GET", "/about", None).await.0, 401);
    browser.reload().await;
    browser.named("field", "Admin token").await;

    browser.sign_in(&operators).await;
    browser.visit("/#/keys").await;
    browser.row_says(&revoked, "revoked").await;
    assert_eq!(browser.count("button", "Add Data Plane Key").await, 0);
    assert_eq!(browser.count("checkbox", "Select revoked").await, 0);
    assert_eq!(browser.offered("valid").await, ["Edit Key", "Revoke"]);
    assert_eq!(browser.offered("revoked").await, ["Edit Key"]);

    // A token that is revoked opens nothing from the next call on.
    operator.revoke_token(&held).await.unwrap();
    browser.reload().await;
    browser.named("field", "Admin token").await;
    browser.close().await;
}

#[tokio::test]
async fn where_agents_dial_is_asked_for_at_the_top() {
    let Some(driver) = chromedriver("the console's banner") else {
        return;
    };
    for named in [false, true] {
        let gateway = TestGateway::configured(|config| {
            let address = "muster.example.com:7443".parse().unwrap();
            config.tls.agent_address = named.then_some(address);
        })
        .await;
        let token = gateway.file("admin.token");
        let browser = Browser::signed_in(&driver, &gateway, token.trim()).await;
        browser.see("No data plane keys yet").await;
        let there = "return document.body.innerText.includes('--agent-address')";
        assert_eq!(browser.eval(there, vec![]).await, !named, "{named}");
        browser.close().await;
    }
}
