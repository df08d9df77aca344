//! Lists that come in pages.

use super::error::CliError;

/// The most that one page can hold.
pub(super) const PAGE: u32 = 1000;

/// The rows of all pages. `page` gets the token of a page, and returns its rows
/// and the token of the next one.
pub(super) async fn pages<T>(
    mut page: impl AsyncFnMut(String) -> Result<(Vec<T>, String), CliError>,
) -> Result<Vec<T>, CliError> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let (rows, next) = page(token).await?;
        all.extend(rows);
        if next.is_empty() {
            return Ok(all);
        }
        token = next;
    }
}
