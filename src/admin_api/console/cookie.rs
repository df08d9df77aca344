//! The console's cookie, and where a request that carries it comes from.
//!
//! Invariant: a request counts as the console's by its cookie only if no other
//! site's page can have made it, or if it changes nothing.

use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};

use crate::admin_api::rest::error::ErrorCause;

/// The header of each of the console's calls; another site's page can't set it.
pub(in crate::admin_api) const CONSOLE: &str = "x-muster-console";
/// The prefix has browsers take it over TLS alone, for this host alone.
const NAME: &str = "__Host-muster";
/// It goes with the browser's session; scripts do not see it, and no other
/// site's request carries it.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

/// The token in the request's cookie. Marks the cookies as secret.
pub(in crate::admin_api) fn presented(headers: &mut HeaderMap) -> Option<Vec<u8>> {
    let mut found = None;
    if let axum::http::header::Entry::Occupied(mut cookies) = headers.entry(COOKIE) {
        for cookie in cookies.iter_mut() {
            cookie.set_sensitive(true);
            let pairs = cookie.as_bytes().split(|byte| *byte == b';');
            for pair in pairs.map(<[u8]>::trim_ascii) {
                let value = pair
                    .strip_prefix(NAME.as_bytes())
                    .and_then(|rest| rest.strip_prefix(b"="));
                found = found.or(value.map(<[u8]>::to_vec));
            }
        }
    }
    found
}

/// Whether the console itself made this request, if it changes something: it
/// says so in a header that another site's page can't set unasked, and its
/// page is of this host.
pub(in crate::admin_api) fn check_origin(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), ErrorCause> {
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    if headers.get(CONSOLE).map(HeaderValue::as_bytes) != Some(b"1") {
        return Err(ErrorCause::NotConsole(format!(
            "{CONSOLE}: 1 is missing: with a cookie the console alone may change something; \
             send `authorization: Bearer mat_…` instead"
        )));
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(|a| a.as_str()).or(host);
    let own = host.map(|host| format!("https://{host}"));
    let is_own = |own: String| origin.as_bytes().eq_ignore_ascii_case(own.as_bytes());
    match own.is_some_and(is_own) {
        true => Ok(()),
        false => Err(ErrorCause::NotConsole(
            "origin: the request comes from a page of another host; a proxy before the console \
             has to pass on the host that the browser asked for"
                .into(),
        )),
    }
}

/// Sets the cookie to a token.
pub(super) fn set(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("{NAME}={token}; {ATTRIBUTES}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Takes it away.
pub(super) fn clear() -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{NAME}=; {ATTRIBUTES}; Max-Age=0")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use axum::http::request::Parts;

    fn provenance(parts: &Parts) -> Result<(), ErrorCause> {
        check_origin(&parts.method, &parts.uri, &parts.headers)
    }

    fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_cookie_is_found_among_others_and_marked_secret() {
        for cookies in [
            &["__Host-muster=mat_x"][..],
            &["a=b; __Host-muster=mat_x;c=d"],
            &["a=b", "__Host-muster=mat_x"],
        ] {
            let headers: Vec<_> = cookies.iter().map(|value| ("cookie", *value)).collect();
            let mut parts = request("GET", &headers);
            assert_eq!(presented(&mut parts.headers).unwrap(), b"mat_x");
            let all = parts.headers.get_all(COOKIE);
            assert!(all.iter().all(HeaderValue::is_sensitive));
        }
        for cookies in ["x__Host-muster=mat_x", "__Host-musters=x", "__Host-muster"] {
            let mut parts = request("GET", &[("cookie", cookies)]);
            assert_eq!(presented(&mut parts.headers), None, "{cookies}");
        }
    }

    #[test]
    fn changes_come_from_the_consoles_own_page_alone() {
        let own = [
            ("x-muster-console", "1"),
            ("host", "a:7444"),
            ("origin", "https://a:7444"),
        ];
        assert!(provenance(&request("POST", &own)).is_ok());
        assert!(provenance(&request("POST", &own[..2])).is_ok());
        assert!(provenance(&request("GET", &[])).is_ok());
        assert!(provenance(&request("HEAD", &[])).is_ok());
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            assert!(provenance(&request(method, &own[1..])).is_err());
        }
        for origin in ["http://a:7444", "https://a", "https://a:7444.evil", "null"] {
            let headers = [own[0], own[1], ("origin", origin)];
            assert!(provenance(&request("POST", &headers)).is_err(), "{origin}");
        }
        assert!(provenance(&request("POST", &[own[0], own[2]])).is_err());
    }
}
