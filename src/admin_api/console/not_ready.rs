//! What a browser is shown while the gateway waits for its store: words, not
//! JSON, on a page that tries again by itself.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{assets, harden};

/// The answer; `None`: this is not for a browser's eyes.
pub(in crate::admin_api) fn while_shut<B>(request: &Request<B>, why: &str) -> Option<Response> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return None;
    }
    let path = request.uri().path();
    let mut response = match path.strip_prefix("/assets/") {
        Some(file) => assets::answer(file, request.headers())?,
        None if path == "/" => page(why),
        None => return None,
    };
    harden(response.headers_mut());
    if request.method() == Method::HEAD {
        *response.body_mut() = axum::body::Body::empty();
    }
    Some(response)
}

fn page(why: &str) -> Response {
    let why = escaped(why);
    let page = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="3">
<title>muster is not ready yet</title>
<link rel="icon" href="/assets/favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/css/base.css">
<link rel="stylesheet" href="/assets/css/layout.css">
</head>
<body>
<main class="door">
<div class="wordmark"><img src="/assets/favicon.svg" alt="" width="28" height="28">muster</div>
<h1>Not ready yet</h1>
<p role="status">{why}</p>
<p class="muted">This page tries again by itself, every 3 seconds.</p>
</main>
</body>
</html>
"#
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (RETRY_AFTER, "3"),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, headers, page).into_response()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(method: &str, path: &str) -> Option<Response> {
        let request = Request::builder().method(method).uri(path);
        while_shut(&request.body(()).unwrap(), "no <b>\"Redis\" & co</b>")
    }

    #[tokio::test]
    async fn a_browser_is_told_in_words() {
        let page = answer("GET", "/").unwrap();
        assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(page.headers().contains_key("content-security-policy"));
        let bytes = axum::body::to_bytes(page.into_body(), 1 << 20).await;
        let text = String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        assert!(
            text.contains("no &lt;b&gt;&quot;Redis&quot; &amp; co&lt;/b&gt;"),
            "{text}"
        );
        assert_eq!(
            answer("GET", "/assets/css/base.css").unwrap().status(),
            StatusCode::OK
        );
        for (method, path) in [
            ("GET", "/api/openapi.json"),
            ("GET", "/assets/none"),
            ("POST", "/"),
        ] {
            assert!(answer(method, path).is_none(), "{method} {path}");
        }
    }
}
