//! The console, in a browser, as the people use it that it is for.
//!
//! `CHROMEDRIVER` says where chromedriver is; without it these tests say that
//! they were left out. `tests/run` installs and names it. Pictures of all pages
//! go into the folder that `SCREENSHOTS` names.

mod hostile;
mod keyboard;
mod keys;
mod many;
mod pages;
mod revoke;
mod roles;
mod stream;

use serde_json::{Value, json};

use crate::support::Browser;

/// One call of the page's own, with its cookie: the status and the body.
async fn call(browser: &Browser, method: &str, path: &str, body: Option<Value>) -> (u64, Value) {
    let script = "
        const [method, path, body] = arguments;
        const headers = { 'x-muster-console': '1', 'content-type': 'application/json' };
        return fetch(`/api/v1/namespaces/default${path}`, { method, headers, body })
            .then(async (answer) => [answer.status, await answer.json().catch(() => null)]);";
    let body = body.map(|body| body.to_string());
    let answer = browser.eval(script, vec![json!(method), json!(path), json!(body)]);
    let answer = answer.await;
    (answer[0].as_u64().unwrap(), answer[1].clone())
}

/// The id of the one key of that name.
async fn key_id(browser: &Browser, name: &str) -> String {
    let (status, keys) = call(browser, "GET", "/data-plane-keys", None).await;
    assert_eq!(status, 200, "{keys}");
    let mut of_name = keys["items"].as_array().unwrap().iter();
    let key = of_name.find(|key| key["name"] == name).unwrap();
    key["object_id"].as_str().unwrap().to_owned()
}
