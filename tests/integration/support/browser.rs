//! A headless Chromium, by WebDriver: what a person does in the console, done
//! with real clicks and keys; and what the browser says of it.
//!
//! Where chromedriver is comes from `CHROMEDRIVER`; without it the tests say
//! that they were left out.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities;
use thirtyfour::common::log::LoggingPrefsLogLevel;
use thirtyfour::prelude::*;
use thirtyfour::{Key, TypingData};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{PATIENCE, TestGateway, within};

/// The variable with chromedriver's path.
const VARIABLE: &str = "CHROMEDRIVER";
/// Browsers at once: more would wait for each other on a small machine.
static ROOM: Semaphore = Semaphore::const_new(2);

/// What people see and screen readers tell: the elements of a role with that
/// name, which are shown. Not all of how browsers find names, but what the
/// console uses.
const NAMED: &str = r##"
    const [role, wanted] = arguments;
    const of = {
        button: "button:not([role])",
        link: "a[href]",
        menuitem: "[role=menuitem]",
        tab: "[role=tab]",
        checkbox: "input[type=checkbox]",
        field: "input:not([type=checkbox]), select",
        heading: "h1, h2, h3",
        dialog: "dialog[open]",
    };
    const text = (node) => node.textContent.trim().replace(/\s+/g, " ");
    const name = (node) => {
        const by = node.getAttribute("aria-labelledby");
        if (by) return text(document.getElementById(by));
        if (node.getAttribute("aria-label")) return node.getAttribute("aria-label");
        if (node.labels?.length) return text(node.labels[0]);
        return text(node);
    };
    // A dialog that is open is all there is.
    const top = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document;
    const all = top.matches?.(of[role]) ? [top] : [...top.querySelectorAll(of[role])];
    return all.filter((node) => node.checkVisibility() && name(node) === wanted);
"##;

pub struct Browser {
    /// There until it is closed.
    driver: Option<WebDriver>,
    processes: Processes,
    /// `https://HOST:PORT`, of the console.
    origin: String,
    /// Statuses that a test meets on purpose: the browser reports each.
    expected: Vec<u16>,
    /// Requests so far.
    requests: Vec<String>,
    _profile: TempDir,
    _room: SemaphorePermit<'static>,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // By itself it would say goodbye over a connection of this test's
        // runtime, which waits for this to end.
        if let Some(driver) = self.driver.take() {
            let _ = driver.leak();
        }
    }
}

/// Ended by their ids with this value, also when a test fails.
struct Processes {
    chromedriver: Child,
    browser: Option<u64>,
}

impl Drop for Processes {
    fn drop(&mut self) {
        // The browser first: it would outlive the other.
        let chromedriver = self.chromedriver.id().map(u64::from);
        for id in [self.browser, chromedriver].into_iter().flatten() {
            let mut kill = std::process::Command::new("kill");
            // It may be gone.
            let _ = kill
                .arg("-KILL")
                .arg(id.to_string())
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// Where chromedriver is; without it, says that `test` was left out.
pub fn chromedriver(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    if path.is_none() {
        // Not by a macro: the output of a test that passes is not shown.
        let _ = writeln!(
            std::io::stderr(),
            "LEFT OUT: {test}: set {VARIABLE} to the path of chromedriver to run it"
        );
    }
    path.map(PathBuf::from)
}

impl Browser {
    /// At the console of a gateway, or of a proxy before it.
    pub async fn open(chromedriver: &PathBuf, origin: &str) -> Self {
        let room = ROOM.acquire().await.unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut chromedriver = Command::new(chromedriver)
            .arg("--port=0")
            // Its and the browser's files: gone with the folder.
            .env("TMPDIR", profile.path())
            .env("TZ", "Europe/Berlin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(chromedriver.stdout.take().unwrap()).lines();
        let port: u16 = loop {
            let line = within("chromedriver's port", lines.next_line()).await;
            let line = line.unwrap().expect("chromedriver ended");
            if let Some((_, port)) = line.split_once("successfully on port ") {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        let mut wanted = DesiredCapabilities::chrome();
        for flag in [
            "--headless=new",
            // Chromium's own sandbox does not work for root, nor in containers.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--lang=en-GB",
        ] {
            wanted.add_arg(flag).unwrap();
        }
        let folder = profile.path().join("profile");
        wanted
            .add_arg(&format!("--user-data-dir={}", folder.display()))
            .unwrap();
        // The gateway's certificate is from its own CA.
        wanted.accept_insecure_certs(true).unwrap();
        for log in ["browser", "performance"] {
            wanted
                .set_logging_prefs(log, LoggingPrefsLogLevel::All)
                .unwrap();
        }
        let url = format!("http://127.0.0.1:{port}");
        let driver = within("a browser", WebDriver::new(url, wanted)).await;
        let driver = driver.unwrap();
        let id = driver.capabilities().get("goog:processID");
        let browser = Self {
            processes: Processes {
                browser: id.and_then(Value::as_u64),
                chromedriver,
            },
            driver: Some(driver),
            origin: origin.to_owned(),
            expected: vec![401],
            requests: Vec::new(),
            _profile: profile,
            _room: room,
        };
        browser.size(1280, 900).await;
        browser.visit("/").await;
        browser
    }

    /// At a gateway's console, signed in with a token.
    pub async fn signed_in(chromedriver: &PathBuf, gateway: &TestGateway, token: &str) -> Self {
        let origin = format!("https://localhost:{}", gateway.addresses.admin.port());
        let browser = Self::open(chromedriver, &origin).await;
        browser.sign_in(token).await;
        browser
    }

    pub async fn sign_in(&self, token: &str) {
        self.fill("Admin token", token).await;
        self.click("button", "Sign in").await;
        self.see("Sign out").await;
    }

    /// For what only a test or two ask of it.
    pub fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("it is open")
    }

    /// Goes to a path of the console: `/`, `/#/keys`.
    pub async fn visit(&self, path: &str) {
        let url = format!("{}{path}", self.origin);
        within("a page", self.driver().goto(url)).await.unwrap();
    }

    pub async fn reload(&self) {
        within("a reload", self.driver().refresh()).await.unwrap();
    }

    /// The window's inner size.
    pub async fn size(&self, width: u32, height: u32) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    /// `light` or `dark`.
    pub async fn scheme(&self, scheme: &str) {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let sent = self.driver().cdp();
        let sent = sent.send_raw(command, parameters);
        within(command, sent).await.unwrap()
    }

    /// What a script on the page returns.
    pub async fn eval(&self, script: &str, arguments: Vec<Value>) -> Value {
        let run = self.driver().execute(script, arguments);
        let answer = within("a script", run).await;
        answer
            .unwrap_or_else(|e| panic!("{script}: {e}"))
            .json()
            .clone()
    }

    /// Waits until an expression is true.
    pub async fn until(&self, what: &str, expression: &str) {
        let script = format!("return Boolean({expression})");
        let holds = async || self.eval(&script, vec![]).await == true;
        let waited = tokio::time::timeout(PATIENCE, async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        if waited.await.is_err() {
            panic!("{what}: not within {PATIENCE:?}; {}", self.told().await);
        }
    }

    /// Waits until the page shows a text.
    pub async fn see(&self, text: &str) {
        let text = json!(text);
        let shown = format!("document.body.innerText.includes({text})");
        self.until(&format!("the text {text}"), &shown).await;
    }

    /// What the page shows: for who looks why a test failed.
    async fn told(&self) -> String {
        let text = self.eval("return document.body.innerText", vec![]).await;
        format!("the page says: {}", text.as_str().unwrap_or("nothing"))
    }

    /// How many elements of that role and name are shown now.
    pub async fn count(&self, role: &str, name: &str) -> usize {
        let script = format!("return (function() {{ {NAMED} }}).apply(null, arguments).length");
        let found = self.eval(&script, vec![json!(role), json!(name)]).await;
        usize::try_from(found.as_u64().unwrap()).unwrap()
    }

    /// Waits for the one element of that role and name.
    pub async fn named(&self, role: &str, name: &str) -> WebElement {
        let search = async || {
            let arguments = vec![json!(role), json!(name)];
            let found = self.driver().execute(NAMED, arguments).await.unwrap();
            let mut found = found.elements().unwrap();
            (found.len() == 1).then(|| found.remove(0))
        };
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(element) = search().await {
                    return element;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        match waited.await {
            Ok(element) => element,
            Err(_) => panic!("no single {role} {name:?}; {}", self.told().await),
        }
    }

    /// A click that a person could make. Made anew where the page was just
    /// making the element anew.
    pub async fn click(&self, role: &str, name: &str) {
        let mut last = None;
        for _ in 0..40 {
            match self.named(role, name).await.click().await {
                Ok(()) => return,
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{role} {name:?} can't be clicked: {last:?}");
    }

    /// Types into a field, in place of what is in it.
    pub async fn fill(&self, field: &str, text: &str) {
        let element = self.named("field", field).await;
        element.clear().await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    /// Picks a day, `2027-03-01`, as the picker does.
    pub async fn pick_day(&self, field: &str, day: &str) {
        let element = self.named("field", field).await;
        let set = "arguments[0].value = arguments[1]; \
                   arguments[0].dispatchEvent(new Event('input', {bubbles: true})); \
                   arguments[0].dispatchEvent(new Event('change', {bubbles: true}));";
        let arguments = vec![element.to_json().unwrap(), json!(day)];
        self.eval(set, arguments).await;
    }

    /// Keys of the keyboard, to whatever has the focus.
    pub async fn press(&self, keys: impl Into<TypingData>) {
        let keys = self.driver().action_chain().send_keys(keys);
        keys.perform().await.unwrap();
    }

    /// The accessible name of what has the focus, or its text.
    pub async fn focused(&self) -> String {
        let script = "const node = document.activeElement; \
                      return node.getAttribute('aria-label') ?? node.labels?.[0]?.textContent \
                      ?? node.textContent.trim()";
        self.eval(script, vec![]).await.as_str().unwrap().to_owned()
    }

    /// Chooses in the menu of a row.
    pub async fn choose(&self, row: &str, item: &str) {
        self.click("button", &format!("Actions for {row}")).await;
        self.click("menuitem", item).await;
    }

    /// What the menu of a row offers. It is closed again.
    pub async fn offered(&self, row: &str) -> Vec<String> {
        self.click("button", &format!("Actions for {row}")).await;
        let script =
            "return [...document.querySelectorAll('[role=menuitem]')].map(i => i.textContent)";
        let items = self.eval(script, vec![]).await;
        self.press(Key::Escape).await;
        serde_json::from_value(items).unwrap()
    }

    /// Waits until the row of a key says that.
    pub async fn row_says(&self, id: &str, text: &str) {
        let (row, text) = (json!(format!("[data-id='{id}']")), json!(text));
        let says = format!("document.querySelector({row})?.innerText.includes({text})");
        self.until(&format!("{text} in the row of {id}"), &says)
            .await;
    }

    /// That it was met with these statuses is what a test wants.
    pub fn expect(&mut self, statuses: &[u16]) {
        self.expected.extend(statuses);
    }

    /// The requests since the last call: `GET https://…`.
    pub async fn requests(&mut self) -> Vec<String> {
        let log = self.driver().get_log("performance").await.unwrap();
        let mut new = Vec::new();
        for entry in log {
            let entry: Value = serde_json::from_str(&entry.message).unwrap();
            let message = &entry["message"];
            if message["method"] == "Network.requestWillBeSent" {
                let request = &message["params"]["request"];
                let word = |field: &str| request[field].as_str().unwrap().to_owned();
                new.push(format!("{} {}", word("method"), word("url")));
            }
        }
        self.requests.extend(new.iter().cloned());
        new
    }

    /// Asserts what is true of every visit: nothing was asked of another host,
    /// and the browser had nothing to complain of (a policy that was violated, a
    /// script that failed) but the statuses that were expected.
    pub async fn is_clean(&mut self) {
        self.requests().await;
        assert!(!self.requests.is_empty(), "the log of requests is empty");
        let own = format!("{}/", self.origin);
        for request in &self.requests {
            let (_, url) = request.split_once(' ').unwrap();
            // Inside the browser: its first empty tab, a picture within the page.
            let inside = ["chrome:", "data:", "blob:"];
            let inside = inside.iter().any(|scheme| url.starts_with(scheme));
            assert!(inside || url.starts_with(&own), "{request} is not of {own}");
        }
        let wanted = |message: &str| {
            let mut statuses = self.expected.iter();
            statuses.any(|status| message.contains(&format!("with a status of {status} ")))
        };
        for entry in self.driver().browser_log().await.unwrap() {
            let harmless = ["DEBUG", "INFO", "FINE"].contains(&entry.level.as_str());
            assert!(harmless || wanted(&entry.message), "{entry:?}");
        }
    }

    /// Asserts [`Self::is_clean`], and closes it.
    pub async fn close(mut self) {
        self.is_clean().await;
        self.quit().await;
    }

    /// Closes it.
    pub async fn quit(mut self) {
        if let Some(driver) = self.driver.take() {
            within("the browser's end", driver.quit()).await.unwrap();
        }
        self.processes.browser = None;
    }

    /// The page as a picture, as long as it is, in the folder of screenshots.
    pub async fn picture(&self, name: &str, width: u32) {
        // Longer than any page that a person would look at.
        const LONGEST: u64 = 3_000;
        let script = "return document.documentElement.scrollHeight";
        let height = self.eval(script, vec![]).await.as_u64().unwrap();
        let height = u32::try_from(height.clamp(700, LONGEST)).unwrap();
        self.size(width, height).await;
        let folder = std::env::var_os("SCREENSHOTS").map_or_else(
            || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots"),
            PathBuf::from,
        );
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{name}.png"));
        self.driver().screenshot(&file).await.unwrap();
    }

    /// Waits until nothing is loading any more.
    pub async fn settled(&self) {
        let settled = "!document.querySelector('[aria-busy=true], .loading, .bone')";
        self.until("a page that has loaded", settled).await;
    }
}
