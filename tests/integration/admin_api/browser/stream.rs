//! A stream of events that is lost is shown, and heals by itself.

use crate::support::{Browser, Fault, Of, Proxy, TestGateway, chromedriver};

#[tokio::test]
async fn a_lost_stream_is_shown_and_what_was_missed_is_read_again() {
    let Some(driver) = chromedriver("a lost stream in the console") else {
        return;
    };
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, _) = operator.key("web").await;
    let (other, _) = operator.key("other").await;
    let proxy = Proxy::start(gateway.addresses.admin.port()).await;
    let origin = proxy.way_of("https://127.0.0.1:0/");
    let browser = Browser::open(&driver, origin.trim_end_matches('/')).await;
    browser.sign_in(gateway.file("admin.token").trim()).await;
    browser.row_says(&id, "valid").await;
    browser
        .until(
            "a live stream",
            "document.getElementById('stream').innerText === 'Live'",
        )
        .await;

    proxy.set(Fault::Cut(Of::All));
    browser.see("Not live: reconnecting…").await;
    // Nobody tells the page.
    operator.revoke(&id).await;
    proxy.set(Fault::None);
    browser
        .until(
            "a live stream",
            "document.getElementById('stream').innerText === 'Live'",
        )
        .await;
    browser.row_says(&id, "revoked").await;
    operator.revoke(&other).await;
    browser.row_says(&other, "revoked").await;
    // That calls failed is in the browser's log, rightly: not asserted here.
    browser.quit().await;
}
