//! The contract for facts that are settled once for a whole store.

use async_trait::async_trait;

use super::error::StoreError;

/// Keeps claims.
#[async_trait]
pub trait ClaimStore: Send + Sync + 'static {
    /// Sets `name` to `value` unless it is set, and returns what stands: of
    /// several callers at once, all get the same.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn claim(&self, name: &str, value: &str) -> Result<String, StoreError>;
}
