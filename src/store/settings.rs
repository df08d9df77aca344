//! The contract for settings that all gateways of a store share.

use async_trait::async_trait;

use super::error::StoreError;

/// Keeps settings: words by name. Must not know: what they mean.
#[async_trait]
pub trait SettingStore: Send + Sync + 'static {
    /// What is set; `None`: nothing ever was.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// Sets it, and returns what was set before.
    ///
    /// # Errors
    /// [`StoreError`]; it may have been written all the same: set it again.
    async fn set(&self, name: &str, value: &str) -> Result<Option<String>, StoreError>;
}
