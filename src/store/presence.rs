//! The contract for what each gateway shows the others of itself.
//!
//! Presence is state, not events: a list of numbered rows that its gateway
//! alone writes and keeps confirming; what is not confirmed is gone. So there
//! are no ghosts, and no cleanup after a gateway that died.

use async_trait::async_trait;

use super::error::StoreError;
use super::gateways::GatewayId;

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PresenceList {
    /// The live sessions there.
    Sessions,
    /// The last refusals there.
    Rejections,
}

impl PresenceList {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Rejections => "rejections",
        }
    }
}

/// A row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceRow {
    /// From 1; no two rows of a list share one, and it is never used again.
    pub number: u64,
    /// JSON; the store does not look into it.
    pub content: String,
}

/// What is new on a list.
#[derive(Debug, Clone, Default)]
pub struct PresenceUpdate {
    /// The version that its gateway wrote last; `None`: the rows are all there
    /// is, whatever stood there before.
    pub from: Option<u64>,
    /// The version that this makes.
    pub to: u64,
    /// Rows that are gone.
    pub removed: Vec<u64>,
    /// Rows that are new.
    pub added: Vec<PresenceRow>,
}

/// A list as others see it.
#[derive(Debug, Clone)]
pub struct PublishedList {
    /// Whose.
    pub gateway: GatewayId,
    /// Its name for display.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// In order of their numbers; `None`: the version is the one that the
    /// reader knows.
    pub rows: Option<Vec<PresenceRow>>,
}

/// Keeps the lists of gateways that share a store.
#[async_trait]
pub trait PresenceStore: Send + Sync + 'static {
    /// Updates a list, and confirms it for 9 s. False when it was not at the
    /// version that the update is from (the store lost it, or the last answer
    /// got lost): then its rows are no longer right, and it has to be written
    /// whole.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn publish(
        &self,
        gateway: GatewayId,
        list: PresenceList,
        update: PresenceUpdate,
    ) -> Result<bool, StoreError>;

    /// The confirmed lists of the enrolled gateways but `own`, in order of
    /// their ids. The rows of one whose version is among `known` are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn read_others(
        &self,
        own: GatewayId,
        list: PresenceList,
        known: &[(GatewayId, u64)],
    ) -> Result<Vec<PublishedList>, StoreError>;

    /// Leaves a gateway a line that it finds within a second, for 10 s.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn send_command(&self, gateway: GatewayId, line: String) -> Result<(), StoreError>;

    /// Takes the lines that were left for a gateway.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn take_commands(&self, own: GatewayId) -> Result<Vec<String>, StoreError>;
}
