//! Names and hostnames made of HTML and script are shown as text: no page runs
//! them, and none asks elsewhere for what they name.

use serde_json::{Value, json};

use super::call;
use crate::agent_api::agents::join_as;
use crate::support::{Browser, TestGateway, chromedriver};

/// What would set `window.hit`, or open a dialog, or ask another host.
const HOSTILE: [&str; 5] = [
    "<img src=x onerror=window.hit=1>",
    "\"><script>window.hit=1;alert(1)</script>",
    "'--><svg/onload=window.hit=1>",
    "javascript:window.hit=1//",
    "<a href=https://evil.example/x ping=https://evil.example/y>k</a>",
];

async fn on_page(browser: &Browser, path: &str, shown: &[&str]) {
    browser.visit(path).await;
    browser.settled().await;
    for text in shown {
        browser.see(text).await;
    }
    assert_eq!(
        browser.eval("return window.hit ?? null", vec![]).await,
        Value::Null,
        "{path} ran it"
    );
    assert!(browser.driver().get_alert_text().await.is_err(), "{path}");
    let strange = "return [...document.querySelectorAll('main img, main script, main a, main svg')] \
                   .map((node) => node.outerHTML).filter((html) => /evil|hit=1|src=.?x/.test(html) \
                   && !/href=.#/.test(html))";
    assert_eq!(browser.eval(strange, vec![]).await, json!([]), "{path}");
}

#[tokio::test]
async fn html_and_script_are_shown_as_text() {
    let Some(driver) = chromedriver("hostile names in the console") else {
        return;
    };
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let mut ids = Vec::new();
    let mut streams = Vec::new();
    for words in HOSTILE {
        let (id, key) = operator.key(words).await;
        ids.push(id);
        let agent = gateway.agent(&key).await;
        join_as(&agent, words, words).await;
        streams.push((agent.id, agent.subscribe().await.unwrap()));
    }
    let token = gateway.file("admin.token");
    let mut browser = Browser::signed_in(&driver, &gateway, token.trim()).await;
    for words in HOSTILE {
        let body = json!({"name": words, "role": "viewer"});
        assert_eq!(call(&browser, "POST", "/tokens", Some(body)).await.0, 200);
    }
    browser.expect(&[404]);
    for page in ["keys", "instances", "agents", "tokens"] {
        on_page(&browser, &format!("/#/{page}"), &HOSTILE).await;
    }
    for page in ["sessions", "rejections", "gateways", "audit"] {
        on_page(&browser, &format!("/#/{page}"), &[]).await;
    }
    for ((id, (agent, _)), words) in ids.iter().zip(&streams).zip(HOSTILE) {
        on_page(&browser, &format!("/#/keys/{id}"), &[words]).await;
        on_page(&browser, &format!("/#/agents/{agent}"), &[words]).await;
    }
    // As part of the address.
    let crafted = "%3Cimg%20src%3Dx%20onerror%3Dwindow.hit%3D1%3E";
    for page in ["keys", "agents", "instances", "nothing"] {
        on_page(&browser, &format!("/#/{page}/{crafted}"), &[]).await;
    }
    on_page(
        &browser,
        &format!("/#/keys?search={crafted}&status={crafted}"),
        &[],
    )
    .await;

    // The dialogs tell names, too.
    browser.visit("/#/keys").await;
    browser.choose(HOSTILE[0], "Revoke").await;
    browser.see("This disconnects 1 agent").await;
    browser.see(HOSTILE[0]).await;
    browser.click("button", "Revoke").await;
    browser.named("dialog", "Data plane key revoked").await;
    browser.click("button", "Close").await;
    assert_eq!(
        browser.eval("return window.hit ?? null", vec![]).await,
        Value::Null
    );
    browser.close().await;
}
