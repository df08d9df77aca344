//! A revoke in the console while an agent is connected: its stream ends, and
//! the list tells it by itself.

use tonic::Code;

use crate::support::{Browser, TestGateway, chromedriver, reason_of};

#[tokio::test]
async fn a_revoke_ends_a_live_agent_and_the_row_changes_by_itself() {
    let Some(driver) = chromedriver("a revoke in the console") else {
        return;
    };
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("web").await;
    let (other_id, other_key) = operator.key("other").await;
    let mut stream = gateway.agent(&key).await.connect().await;
    let mut other = gateway.agent(&other_key).await.connect().await;
    let token = gateway.file("admin.token");
    let mut browser = Browser::signed_in(&driver, &gateway, token.trim()).await;
    browser.row_says(&id, "valid").await;
    browser.see("Live").await;
    // Gone after a reload.
    browser.eval("window.marked = true", vec![]).await;

    browser.choose("web", "Revoke").await;
    browser.named("dialog", "Revoke data plane key?").await;
    browser
        .see("This disconnects 1 agent with 1 live session")
        .await;
    browser.click("button", "Cancel").await;
    assert_eq!(operator.show(&id).await.unwrap().revoked_at, None);

    browser.choose("web", "Revoke").await;
    browser
        .see("This disconnects 1 agent with 1 live session")
        .await;
    browser.click("button", "Revoke").await;
    let end = stream.end().await;
    assert_eq!(
        (end.code(), reason_of(&end).as_str()),
        (Code::Unauthenticated, "KEY_REVOKED")
    );
    browser.named("dialog", "Data plane key revoked").await;
    browser
        .see("Complete: 1 session closed on 1 gateway.")
        .await;
    browser.click("button", "Close").await;
    browser.row_says(&id, "revoked").await;
    assert_eq!(browser.offered("web").await, ["Edit Key", "Delete"]);

    // Somebody else revokes the other one, by another door.
    browser.row_says(&other_id, "valid").await;
    operator.revoke(&other_id).await;
    assert_eq!(other.end().await.code(), Code::Unauthenticated);
    browser.row_says(&other_id, "revoked").await;
    assert_eq!(browser.eval("return window.marked", vec![]).await, true);
    let loads = browser.requests().await;
    let loads = loads
        .iter()
        .filter(|request| request.ends_with("/assets/js/app.js"));
    assert_eq!(loads.count(), 1, "it was loaded anew");
    browser.close().await;
}
