//! Every page, with and without rows: it loads, from this host alone, without a
//! complaint of the browser; what an accessibility check says of it; and its
//! picture, wide and narrow, light and dark.

use serde_json::Value;

use crate::agent_api::agents::join_as;
use crate::support::{Browser, Stream, TestGateway, chromedriver};

/// The widths of a desk and of a phone.
const WIDTHS: [u32; 2] = [1280, 390];
const SCHEMES: [&str; 2] = ["light", "dark"];
const LISTS: [(&str, &str); 8] = [
    ("keys", "Data Plane Keys"),
    ("instances", "Instances"),
    ("agents", "Agents"),
    ("sessions", "Sessions"),
    ("rejections", "Rejections"),
    ("gateways", "Gateways"),
    ("audit", "Audit"),
    ("tokens", "Tokens"),
];

/// What axe-core complains of, if `AXE` names its script (`tests/run` does so). It
/// comes in by WebDriver: the page itself may load nothing from elsewhere.
async fn complaints(browser: &Browser, page: &str) -> Vec<String> {
    let Some(axe) = std::env::var_os("AXE").filter(|path| !path.is_empty()) else {
        return Vec::new();
    };
    let axe = std::fs::read_to_string(axe).unwrap();
    // What lies behind a modal dialog can't be reached, and may be half hidden.
    let run = "return axe.run(document.querySelector('dialog:modal') ?? document, {runOnly: \
               ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']}) \
               .then(({violations}) => violations.map(({id, help, nodes}) => \
               `${id}: ${help}: ${nodes.slice(0, 3).map(({html}) => html).join(' ')}`))";
    let told = browser.eval(&format!("{axe}\n{run}"), vec![]).await;
    let told = told.as_array().unwrap().iter();
    told.map(|told| format!("{page}: {told}")).collect()
}

/// Whether the page is wider than the window.
async fn fits(browser: &Browser, page: &str) {
    let script = "const {scrollWidth, clientWidth} = document.documentElement; \
                  return scrollWidth - clientWidth";
    let over = browser.eval(script, vec![]).await;
    assert_eq!(over, 0, "{page} is {over} px too wide");
}

async fn look_at(browser: &Browser, path: &str, name: &str) {
    let mut all = Vec::new();
    for width in WIDTHS {
        for scheme in SCHEMES {
            browser.size(width, 900).await;
            browser.scheme(scheme).await;
            browser.visit(path).await;
            browser.settled().await;
            let page = format!("{name}-{width}-{scheme}");
            fits(browser, &page).await;
            all.extend(complaints(browser, &page).await);
            browser.picture(&page, width).await;
        }
    }
    browser.size(1280, 900).await;
    browser.scheme("light").await;
    assert!(all.is_empty(), "{all:#?}");
}

/// A gateway with something on every page.
async fn furnished() -> (TestGateway, Vec<(String, Stream)>) {
    let gateway = TestGateway::configured(|config| config.gateway_name = "edge-1".into()).await;
    let operator = gateway.operator().await;
    let mut streams = Vec::new();
    for (name, hosts) in [("web servers", 6), ("staging", 2), ("partner", 1)] {
        let (id, key) = operator.key(name).await;
        for host in 0..hosts {
            let agent = gateway.agent(&key).await;
            let hostname = format!("{}-{host}.example.com", name.replace(' ', "-"));
            join_as(&agent, &hostname, "1.27.0").await;
            if host % 3 != 2 {
                let stream = agent.subscribe().await.unwrap();
                streams.push((agent.id.to_string(), stream));
            }
        }
        if name == "partner" {
            operator.revoke(&id).await;
            gateway.agent(&key).await.join().await.unwrap_err();
        }
    }
    let soon = std::time::Duration::from_secs(12 * 86_400);
    let (_, key) = operator.key_for("ends soon", soon).await;
    let agent = gateway.agent(&key).await;
    join_as(&agent, "old.example.com", "1.22.1").await;
    streams.push((agent.id.to_string(), agent.subscribe().await.unwrap()));
    let moment = std::time::Duration::from_millis(1_500);
    operator.key_for("was short", moment).await;
    gateway
        .agent("dpk_nonsense")
        .await
        .join()
        .await
        .unwrap_err();
    (gateway, streams)
}

#[tokio::test]
async fn every_page_loads_fits_and_can_be_read() {
    let Some(driver) = chromedriver("every page of the console") else {
        return;
    };
    let (gateway, streams) = furnished().await;
    let origin = format!("https://localhost:{}", gateway.addresses.admin.port());
    let mut browser = Browser::open(&driver, &origin).await;
    look_at(&browser, "/", "sign-in").await;
    browser.sign_in(gateway.file("admin.token").trim()).await;
    for (page, title) in LISTS {
        let path = format!("/#/{page}");
        look_at(&browser, &path, page).await;
        browser.named("heading", title).await;
        let rows = browser.eval(
            "return document.querySelectorAll('tbody tr').length",
            vec![],
        );
        assert_ne!(rows.await, 0, "{page} is empty");
    }
    let (_, keys) = super::call(&browser, "GET", "/data-plane-keys?search=web", None).await;
    let key = keys["items"][0]["object_id"].as_str().unwrap().to_owned();
    let (_, instances) = super::call(&browser, "GET", "/instances", None).await;
    let instance = instances["items"][0]["object_id"]
        .as_str()
        .unwrap()
        .to_owned();
    look_at(&browser, &format!("/#/keys/{key}"), "key").await;
    look_at(&browser, &format!("/#/agents/{}", streams[0].0), "agent").await;
    look_at(&browser, &format!("/#/instances/{instance}"), "instance").await;
    browser.expect(&[404]);
    look_at(&browser, "/#/keys/key_0123456789ABCDEF", "no-such-key").await;
    browser.close().await;
}

#[tokio::test]
async fn dialogs_and_the_phones_menu_can_be_read() {
    let Some(driver) = chromedriver("the console's dialogs") else {
        return;
    };
    let (gateway, _streams) = furnished().await;
    let token = gateway.file("admin.token");
    let browser = Browser::signed_in(&driver, &gateway, token.trim()).await;
    for width in WIDTHS {
        for scheme in SCHEMES {
            browser.size(width, 900).await;
            browser.scheme(scheme).await;
            let shot = async |name: &str| {
                let page = format!("{name}-{width}-{scheme}");
                fits(&browser, &page).await;
                let all = complaints(&browser, &page).await;
                assert!(all.is_empty(), "{all:#?}");
                browser.picture(&page, width).await;
                browser.size(width, 900).await;
            };
            browser.visit("/#/keys").await;
            browser.settled().await;
            if width < 800 {
                browser.click("button", "Menu").await;
                shot("menu").await;
                browser.press(thirtyfour::Key::Escape).await;
            }
            browser.click("button", "Add Data Plane Key").await;
            shot("add").await;
            browser.fill("Name", "pictured").await;
            browser.click("button", "Generate").await;
            browser.see("displayed only once").await;
            browser.see("nginx-agent.conf").await;
            shot("added").await;
            browser.click("button", "Close").await;
            for (item, title, name) in [
                ("Edit Key", "Edit Key", "edit"),
                ("Revoke", "Revoke data plane key?", "revoke"),
            ] {
                browser.choose("web servers", item).await;
                browser.named("dialog", title).await;
                browser
                    .until("its words", "!document.querySelector('dialog .loading')")
                    .await;
                shot(name).await;
                browser.click("button", "Cancel").await;
            }
        }
    }
    browser.close().await;
}

#[tokio::test]
async fn empty_pages_say_what_would_be_there() {
    let Some(driver) = chromedriver("the console's empty pages") else {
        return;
    };
    let gateway = TestGateway::start().await;
    let token = gateway.file("admin.token");
    let browser = Browser::signed_in(&driver, &gateway, token.trim()).await;
    for (page, title) in LISTS {
        browser.visit(&format!("/#/{page}")).await;
        browser.named("heading", title).await;
        browser.settled().await;
        let said = browser.eval(
            "return document.querySelector('main').innerText.length",
            vec![],
        );
        let said: Value = said.await;
        assert!(
            said.as_u64().unwrap() > title.len() as u64,
            "{page} says nothing"
        );
    }
    browser.close().await;
}
