//! The user's own steps with data plane keys: add with and without a date, see
//! the secret once, edit, delete.

use serde_json::json;
use thirtyfour::WebElement;

use super::{call, key_id};
use crate::support::{Browser, TestGateway, chromedriver};

const ONCE: &str = "Copy and store this key securely. It is displayed only once and cannot be \
                    retrieved later.";
const RULE: &str = "If you don't set a date, the key expires one year from today. The longest \
                    duration for a key is one year.";

/// Whether anything on the page, seen or not, holds a key.
async fn holds_a_key(browser: &Browser) -> bool {
    let script = "return document.documentElement.outerHTML.includes('dpk_') \
                  || JSON.stringify([{...localStorage}, {...sessionStorage}]).includes('dpk_') \
                  || location.href.includes('dpk_')";
    browser.eval(script, vec![]).await == true
}

/// Some days from today, as the reader's calendar has it.
async fn day_in(browser: &Browser, days: i64) -> String {
    let script = "const day = new Date(); day.setDate(day.getDate() + arguments[0]); \
                  const padded = (n) => String(n).padStart(2, '0'); \
                  return `${day.getFullYear()}-${padded(day.getMonth() + 1)}-${padded(day.getDate())}`";
    let day = browser.eval(script, vec![json!(days)]).await;
    day.as_str().unwrap().to_owned()
}

/// The last second of a day in the reader's zone, as milliseconds since 1970.
async fn end_of(browser: &Browser, day: &str) -> i64 {
    let script = "return new Date(`${arguments[0]}T23:59:59`).getTime()";
    browser
        .eval(script, vec![json!(day)])
        .await
        .as_i64()
        .unwrap()
}

async fn expires(browser: &Browser, id: &str) -> i64 {
    let (_, key) = call(browser, "GET", &format!("/data-plane-keys/{id}"), None).await;
    let script = "return new Date(arguments[0]).getTime()";
    let at = browser.eval(script, vec![key["expires_at"].clone()]).await;
    at.as_i64().unwrap()
}

/// Adds a key as the user does; its secret.
async fn add(browser: &Browser, name: &str, day: Option<&str>) -> String {
    browser.click("button", "Add Data Plane Key").await;
    browser.named("dialog", "Add Data Plane Key").await;
    browser.see(RULE).await;
    browser.fill("Name", name).await;
    if let Some(day) = day {
        browser.pick_day("Expiration date (optional)", day).await;
    }
    browser.click("button", "Generate").await;
    browser.named("dialog", "Data plane key created").await;
    browser.see(ONCE).await;
    let shown = browser.eval(
        "return document.querySelector('.secret').textContent",
        vec![],
    );
    let secret = shown.await.as_str().unwrap().to_owned();
    assert!(secret.starts_with("dpk_"), "that is no key");
    for label in ["Copy the data plane key", "Download the data plane key"] {
        browser.named("button", label).await;
    }
    for (tab, words) in [("Host", "nginx-agent.conf"), ("Container", "docker run -d")] {
        browser.click("tab", tab).await;
        browser.see(words).await;
    }
    browser.click("button", "Close").await;
    browser
        .until("the end of the dialog", "!document.querySelector('dialog')")
        .await;
    secret
}

async fn attribute(element: &WebElement, name: &str) -> String {
    element.attr(name).await.unwrap().unwrap_or_default()
}

#[tokio::test]
async fn a_key_is_added_seen_once_edited_revoked_and_deleted() {
    let Some(driver) = chromedriver("a key's life in the console") else {
        return;
    };
    let gateway = TestGateway::start().await;
    let origin = format!("https://localhost:{}", gateway.addresses.admin.port());
    let mut browser = Browser::open(&driver, &origin).await;
    browser.expect(&[409]);

    browser.fill("Admin token", "mat_nonsense").await;
    browser.click("button", "Sign in").await;
    browser
        .until(
            "why not",
            "document.getElementById('sign-in-error').textContent",
        )
        .await;
    browser.sign_in(gateway.file("admin.token").trim()).await;
    browser.see("No data plane keys yet").await;
    let cookies = browser.eval("return document.cookie", vec![]).await;
    assert_eq!(cookies, "", "a script can read the cookie");

    // Without a date.
    let secret = add(&browser, "web", None).await;
    assert!(!holds_a_key(&browser).await);
    let id = key_id(&browser, "web").await;
    browser.row_says(&id, "valid").await;
    let year = expires(&browser, &id).await - end_of(&browser, &day_in(&browser, 0).await).await;
    let days = year as f64 / 86_400_000.0;
    assert!((363.9..366.1).contains(&days), "it expires in {days} days");
    browser.reload().await;
    browser.row_says(&id, "valid").await;
    assert!(!holds_a_key(&browser).await);
    gateway.agent(&secret).await.join().await.unwrap();

    // With one.
    let day = day_in(&browser, 10).await;
    add(&browser, "short", Some(&day)).await;
    let short = key_id(&browser, "short").await;
    assert_eq!(
        expires(&browser, &short).await,
        end_of(&browser, &day).await,
        "not the last second of {day} in the reader's zone"
    );
    browser.row_says(&short, "expires in").await;

    // The picker offers nothing later than a year, nor the past.
    browser.click("button", "Add Data Plane Key").await;
    let picker = browser.named("field", "Expiration date (optional)").await;
    let today = day_in(&browser, 0).await;
    assert_eq!(attribute(&picker, "min").await, today);
    let year: i32 = today[..4].parse().unwrap();
    let last = attribute(&picker, "max").await;
    assert!(last.starts_with(&(year + 1).to_string()), "{last}");
    browser.fill("Name", "late").await;
    browser
        .pick_day("Expiration date (optional)", &day_in(&browser, 400).await)
        .await;
    browser.click("button", "Generate").await;
    browser
        .see("The longest duration for a key is one year: pick an earlier day.")
        .await;
    browser.click("button", "Cancel").await;

    // Edit.
    browser.choose("web", "Edit Key").await;
    browser.fill("Name", "web servers").await;
    let day = day_in(&browser, 100).await;
    browser.pick_day("Expiration date", &day).await;
    browser.click("button", "Save").await;
    browser.row_says(&id, "web servers").await;
    assert_eq!(expires(&browser, &id).await, end_of(&browser, &day).await);

    // Delete is not offered while it is valid, and fails all the same.
    assert_eq!(browser.offered("web servers").await, ["Edit Key", "Revoke"]);
    assert_eq!(browser.count("checkbox", "Select web servers").await, 0);
    let path = format!("/data-plane-keys/{id}");
    let (status, told) = call(&browser, "DELETE", &path, None).await;
    assert_eq!(status, 409, "{told}");

    // Revoke, look at the date, delete.
    browser.choose("web servers", "Revoke").await;
    browser.named("dialog", "Revoke data plane key?").await;
    browser.click("button", "Revoke").await;
    browser.named("dialog", "Data plane key revoked").await;
    browser.click("button", "Close").await;
    browser.row_says(&id, "revoked").await;
    browser.choose("web servers", "Edit Key").await;
    browser.see("so its date is fixed").await;
    assert!(
        !browser
            .named("field", "Expiration date")
            .await
            .is_enabled()
            .await
            .unwrap()
    );
    browser.click("button", "Cancel").await;
    browser.choose("web servers", "Delete").await;
    browser.named("dialog", "Delete data plane key?").await;
    browser.click("button", "Delete").await;
    browser.see("Deleted web servers.").await;
    let gone = format!("!document.querySelector(\"[data-id='{id}']\")");
    browser.until("the end of the row", &gone).await;
    browser.close().await;
}

#[tokio::test]
async fn an_edit_of_what_somebody_else_has_changed_meanwhile_is_not_lost_nor_overwrites() {
    let Some(driver) = chromedriver("two operators in the console") else {
        return;
    };
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, _) = operator.key("web").await;
    let path = format!("/data-plane-keys/{id}");
    let name = async |browser: &Browser| call(browser, "GET", &path, None).await.1["name"].clone();
    let token = gateway.file("admin.token");
    let mut browser = Browser::signed_in(&driver, &gateway, token.trim()).await;
    browser.expect(&[412]);
    browser.choose("web", "Edit Key").await;
    browser.fill("Name", "mine").await;
    let theirs = json!({"name": "theirs"});
    assert_eq!(call(&browser, "PATCH", &path, Some(theirs)).await.0, 200);
    browser.click("button", "Save").await;
    browser.see("Somebody changed this key meanwhile.").await;
    assert_eq!(name(&browser).await, "theirs");
    let field = browser.named("field", "Name").await;
    assert_eq!(field.value().await.unwrap().unwrap(), "theirs");
    browser.fill("Name", "mine after all").await;
    browser.click("button", "Save").await;
    browser.row_says(&id, "mine after all").await;
    assert_eq!(name(&browser).await, "mine after all");
    browser.close().await;
}

#[tokio::test]
async fn ended_keys_alone_are_chosen_and_deleted_together() {
    let Some(driver) = chromedriver("deleting several keys in the console") else {
        return;
    };
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (one, _) = operator.key("one").await;
    let (two, _) = operator.key("two").await;
    operator.key("three").await;
    for id in [&one, &two] {
        operator.revoke(id).await;
    }
    let token = gateway.file("admin.token");
    let browser = Browser::signed_in(&driver, &gateway, token.trim()).await;
    browser.row_says(&one, "revoked").await;
    assert_eq!(browser.count("checkbox", "Select three").await, 0);
    browser.click("checkbox", "Select one").await;
    browser.click("checkbox", "Select two").await;
    browser.see("2 keys selected").await;
    browser.click("button", "Delete selected").await;
    browser.named("dialog", "Delete 2 data plane keys?").await;
    browser.click("button", "Delete").await;
    browser.see("Deleted 2 keys.").await;
    browser
        .until(
            "one row",
            "document.querySelectorAll('tr[data-id]').length === 1",
        )
        .await;
    let (_, keys) = call(&browser, "GET", "/data-plane-keys", None).await;
    assert_eq!(keys["total"], 1);
    browser.close().await;
}
