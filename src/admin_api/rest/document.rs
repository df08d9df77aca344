//! What the document says of every call alike, so that no handler has to.
//!
//! Must not know: what a call does. Invariant: each operation has a name of its
//! own, and names the statuses that every call has.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{OpenApi, RefOr, Response};

/// The request's id, in the answer's headers and in the body of an error.
pub(super) const REQUEST_ID: &str = "x-request-id";
/// How a handler says that its errors are like everybody's.
const ALIKE: &str = "4XX";
/// What every call may answer besides: each checks its parameters, its token and
/// its namespace, and each needs the store.
const EVERYWHERE: [(&str, &str); 5] = [
    (
        "400",
        "what is asked for is not allowed: the field, the rule",
    ),
    ("401", "no token, or one that is not good"),
    ("403", "the token's role is too small"),
    ("404", "there is no such row, or no such namespace"),
    ("500", "a fault of this gateway or its store; it may pass"),
];

/// Completes every operation.
pub(super) fn complete(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(name(method, path));
            let all = &mut operation.responses.responses;
            if let Some(RefOr::T(alike)) = all.remove(ALIKE) {
                for (status, words) in EVERYWHERE {
                    let mut response = alike.clone();
                    response.description = words.into();
                    all.entry(status.into()).or_insert(RefOr::T(response));
                }
            }
            for response in all.values_mut() {
                if let RefOr::T(response) = response {
                    carry_id(response);
                }
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem {
        get,
        put,
        post,
        delete,
        patch,
        ..
    } = item;
    [
        ("get", get),
        ("put", put),
        ("post", post),
        ("delete", delete),
        ("patch", patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

/// For example `put_data_plane_keys_id_revoke`.
fn name(method: &str, path: &str) -> String {
    let within = path
        .rsplit_once("{namespace}")
        .map_or(path, |(_, rest)| rest);
    let mut name = method.to_owned();
    for part in within.split(['/', '-', '{', '}']) {
        if !part.is_empty() {
            name += "_";
            name += part;
        }
    }
    name
}

fn carry_id(response: &mut Response) {
    let header = HeaderBuilder::new()
        .description(Some("The request's id, for who looks for it in the log."))
        .build();
    response.headers.insert(REQUEST_ID.into(), header.into());
}
