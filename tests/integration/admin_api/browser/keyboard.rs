//! With the keyboard alone.

use thirtyfour::Key;

use crate::support::{Browser, TestGateway, chromedriver};

/// Presses Tab until that has the focus.
async fn tab_to(browser: &Browser, name: &str) {
    let mut met = Vec::new();
    for _ in 0..60 {
        let focused = browser.focused().await;
        if focused == name {
            return;
        }
        met.push(focused);
        browser.press(Key::Tab).await;
    }
    panic!("Tab never comes to {name:?}, but to {met:?}");
}

async fn focus_is(browser: &Browser, name: &str) {
    let mut met = String::new();
    for _ in 0..100 {
        met = browser.focused().await;
        if met == name {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the focus is on {met:?}, not on {name:?}");
}

#[tokio::test]
async fn a_key_is_added_and_revoked_by_the_keyboard_alone() {
    let Some(driver) = chromedriver("the console by keyboard") else {
        return;
    };
    let gateway = TestGateway::start().await;
    let origin = format!("https://localhost:{}", gateway.addresses.admin.port());
    let browser = Browser::open(&driver, &origin).await;
    focus_is(&browser, "Admin token").await;
    browser.press(gateway.file("admin.token").trim()).await;
    browser.press(Key::Enter).await;
    browser.see("No data plane keys yet").await;

    tab_to(&browser, "Skip to the page").await;
    tab_to(&browser, "Instances").await;
    tab_to(&browser, "Add Data Plane Key").await;
    browser.press(Key::Enter).await;
    focus_is(&browser, "Name").await;
    browser.press("by hand").await;
    browser.press(Key::Enter).await;
    browser.named("dialog", "Data plane key created").await;
    // The one look at a secret is not lost to a slip.
    browser.press(Key::Escape).await;
    browser.press(Key::Escape).await;
    browser.named("dialog", "Data plane key created").await;
    tab_to(&browser, "Copy the data plane key").await;
    tab_to(&browser, "Close").await;
    browser.press(Key::Enter).await;
    focus_is(&browser, "Add Data Plane Key").await;

    let dots = "Actions for by hand";
    tab_to(&browser, dots).await;
    browser.press(Key::Enter).await;
    focus_is(&browser, "Edit Key").await;
    browser.press(Key::Down).await;
    focus_is(&browser, "Revoke").await;
    browser.press(Key::Down).await;
    focus_is(&browser, "Edit Key").await;
    browser.press(Key::Escape).await;
    focus_is(&browser, dots).await;
    browser.press(Key::Up).await;
    focus_is(&browser, "Revoke").await;
    browser.press(Key::Enter).await;
    browser.named("dialog", "Revoke data plane key?").await;
    browser.see("No agent is connected with it now.").await;
    // What can't be undone is not where the focus is.
    focus_is(&browser, "Cancel").await;
    browser.press(Key::Escape).await;
    focus_is(&browser, dots).await;
    browser.press(Key::Up).await;
    focus_is(&browser, "Revoke").await;
    browser.press(Key::Enter).await;
    browser.see("No agent is connected with it now.").await;
    tab_to(&browser, "Revoke").await;
    browser.press(Key::Enter).await;
    browser.named("dialog", "Data plane key revoked").await;
    focus_is(&browser, "Close").await;
    browser.press(Key::Enter).await;
    focus_is(&browser, dots).await;
    browser.close().await;
}

#[tokio::test]
async fn a_closed_dialog_leaves_the_focus_where_it_went_since() {
    let Some(driver) = chromedriver("the focus after a dialog") else {
        return;
    };
    let gateway = TestGateway::start().await;
    gateway.operator().await.key("by hand").await;
    let token = gateway.file("admin.token");
    let browser = Browser::signed_in(&driver, &gateway, token.trim()).await;
    browser.choose("by hand", "Revoke").await;
    focus_is(&browser, "Cancel").await;
    // A dialog's close event comes after the browser gave the focus back. Here the
    // menu is opened in between.
    let focused = browser.eval(
        r#"
        const dialog = document.querySelector("dialog");
        const told = new Promise((resolve) =>
            dialog.addEventListener("close", () => resolve(document.activeElement.textContent)));
        document.activeElement.click();
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp" }));
        return told;
        "#,
        Vec::new(),
    );
    assert_eq!(focused.await, "Revoke");
    browser.close().await;
}
