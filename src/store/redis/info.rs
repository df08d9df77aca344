//! What Redis's `INFO` says.

use redis::cmd;

use super::connection::{Link, Repeat};
use crate::store::error::StoreError;

/// A section of it.
pub(super) async fn ask(link: &Link, section: &str) -> Result<String, StoreError> {
    link.ask(Repeat::Harmless, |mut connection| async move {
        let mut info = cmd("INFO");
        info.arg(section);
        info.query_async(&mut connection).await
    })
    .await
}

/// A field of a section, if the server prints it.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// The version that the server says it is, `7.0.15`.
pub(super) async fn server_version(link: &Link) -> Result<String, StoreError> {
    let info = ask(link, "server").await?;
    Ok(field(&info, "redis_version").unwrap_or("0").to_owned())
}
