//! The console's files, embedded in the binary.
//!
//! Invariant: a browser may keep a file but asks before it uses it again, so
//! that no page is made of the files of two versions.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::admin_api::rest::error::{ApiError, ErrorCause};

macro_rules! embedded {
    ($($path:literal)*) => {
        &[$(($path, include_bytes!(concat!("web/", $path)))),*]
    };
}

const INDEX: &str = "index.html";

#[rustfmt::skip]
const FILES: &[(&str, &[u8])] = embedded![
    "index.html"
    "favicon.svg"
    "css/base.css"
    "css/layout.css"
    "css/controls.css"
    "css/table.css"
    "css/parts.css"
    "css/pages.css"
    "css/lists.css"
    "css/phone.css"
    "js/api.js"
    "js/app.js"
    "js/dom.js"
    "js/format.js"
    "js/keys.js"
    "js/live.js"
    "js/refusals.js"
    "js/router.js"
    "js/rows.js"
    "js/sessions.js"
    "js/shell.js"
    "js/sign-in.js"
    "js/tokens.js"
    "js/parts/dialog.js"
    "js/parts/filters.js"
    "js/parts/key-field.js"
    "js/parts/list.js"
    "js/parts/menu.js"
    "js/parts/notice.js"
    "js/parts/pager.js"
    "js/parts/secret.js"
    "js/parts/sheet.js"
    "js/parts/states.js"
    "js/parts/table.js"
    "js/parts/tabs.js"
    "js/keys/add.js"
    "js/keys/commands.js"
    "js/keys/delete.js"
    "js/keys/edit.js"
    "js/keys/expiry.js"
    "js/keys/revoke.js"
    "js/keys/show.js"
    "js/pages/agent.js"
    "js/pages/agents.js"
    "js/pages/audit.js"
    "js/pages/gateways.js"
    "js/pages/instance.js"
    "js/pages/instances.js"
    "js/pages/key.js"
    "js/pages/keys.js"
    "js/pages/rejections.js"
    "js/pages/sessions.js"
    "js/pages/tokens.js"
];

struct File {
    bytes: &'static [u8],
    content_type: &'static str,
    etag: HeaderValue,
}

static BY_PATH: LazyLock<HashMap<&str, File>> = LazyLock::new(|| {
    let described = |&(path, bytes): &(&'static str, &'static [u8])| {
        let file = File {
            bytes,
            content_type: content_type(path),
            etag: etag(bytes),
        };
        (path, file)
    };
    FILES.iter().map(described).collect()
});

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

fn etag(bytes: &[u8]) -> HeaderValue {
    let tag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(bytes)[..12]));
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""))
}

/// A file as it answers a request; `None`: there is none of that path.
pub(super) fn answer(path: &str, request: &HeaderMap) -> Option<Response> {
    let file = BY_PATH.get(path)?;
    let kept = request.get_all(IF_NONE_MATCH).iter();
    let is_kept = kept
        .filter_map(|tags| tags.to_str().ok())
        .flat_map(|tags| tags.split(','))
        .any(|tag| tag.trim().trim_start_matches("W/").as_bytes() == file.etag.as_bytes());
    let mut response = match is_kept {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(CONTENT_TYPE, file.content_type)], file.bytes).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, file.etag.clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(response)
}

/// The page that everything is on.
pub(super) async fn index(headers: HeaderMap) -> Result<Response, ApiError> {
    answer(INDEX, &headers).ok_or_else(|| ErrorCause::NoSuchRoute.into())
}

/// What the page is made of.
pub(super) async fn file(
    path: Option<Path<String>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let found = path.and_then(|Path(path)| answer(&path, &headers));
    found.ok_or_else(|| ErrorCause::NoSuchRoute.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    const LONGEST_FILE: usize = 300;

    fn web() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin_api/console/web")
    }

    fn on_disk() -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![web()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let path = path.strip_prefix(web()).unwrap();
                    found.insert(path.to_str().unwrap().to_owned());
                }
            }
        }
        found
    }

    fn text(path: &str) -> &'static str {
        let (_, bytes) = FILES.iter().find(|(name, _)| *name == path).unwrap();
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_file_is_embedded_and_small() {
        let embedded: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).into()).collect();
        assert_eq!(embedded, on_disk());
        for (path, _) in FILES {
            assert_ne!(content_type(path), "application/octet-stream", "{path}");
            assert!(text(path).lines().count() <= LONGEST_FILE, "{path}");
        }
    }

    /// What would open the page to foreign text, or break under its policy.
    #[test]
    fn no_file_makes_html_of_text_or_has_script_and_style_in_line() {
        for (path, _) in FILES {
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "localStorage",
                "sessionStorage",
                "indexedDB",
                "document.cookie",
                " style=",
                "<script>",
                " onclick=",
                "javascript:",
            ] {
                assert!(!text(path).contains(word), "{path}: {word}");
            }
            let elsewhere = text(path).replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http://"), "{path}");
            assert!(!elsewhere.contains("//cdn"), "{path}");
        }
    }

    #[test]
    fn every_import_is_of_a_file_that_is_there() {
        for (path, _) in FILES.iter().filter(|(path, _)| path.ends_with(".js")) {
            let folder = Path::new(path).parent().unwrap();
            for line in text(path).lines() {
                let from = line
                    .split_once(" from \"")
                    .or(line.split_once("import \""))
                    .or(line.split_once("import(\""));
                let Some((_, rest)) = from.filter(|_| !line.trim_start().starts_with("//")) else {
                    continue;
                };
                let named = rest.split('"').next().unwrap();
                let mut full = Vec::new();
                for part in folder.join(named).to_str().unwrap().split('/') {
                    match part {
                        "." => {}
                        ".." => drop(full.pop()),
                        part => full.push(part.to_owned()),
                    }
                }
                let full = full.join("/");
                assert!(
                    FILES.iter().any(|(path, _)| *path == full),
                    "{path}: {line}"
                );
            }
        }
    }

    /// The page of rejections offers each reason that there is, and no other.
    #[test]
    fn the_page_of_rejections_knows_every_reason() {
        let listed = text("js/refusals.js").split_once("REASONS = [").unwrap().1;
        let listed = listed.split_once(']').unwrap().0;
        let listed: Vec<&str> = listed.split('"').skip(1).step_by(2).collect();
        let all = crate::gateway::rejections::Reason::ALL.map(|reason| reason.as_str());
        assert_eq!(listed, all);
    }

    #[test]
    fn a_file_that_is_kept_is_not_sent_again() {
        let mut headers = HeaderMap::new();
        let first = answer(INDEX, &headers).unwrap();
        let tag = first.headers()[ETAG].clone();
        assert_eq!((first.status(), tag.len()), (StatusCode::OK, 26));
        headers.insert(IF_NONE_MATCH, tag);
        let again = answer(INDEX, &headers).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
        assert_eq!(answer(INDEX, &headers).unwrap().status(), StatusCode::OK);
        assert!(answer("js/none.js", &headers).is_none());
        assert!(answer("../assets.rs", &headers).is_none());
    }
}
