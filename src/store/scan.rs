//! A store as it lies there, row by row: to look at the whole of it, and to copy
//! it.
//!
//! Owns: what a row is, and what is read from one. Must not know: how a backend
//! is read, what is wrong between rows.
//! Invariant: to survey a store changes nothing in it.

use tokio::sync::mpsc;
use uuid::Uuid;

use super::audit::AuditRecord;
use super::codec::{FeedRow, StoredKey, TokenRow, decode};
use super::error::StoreError;
use super::events::Event;
use super::feed::Change;
use super::key_changes::to_change;
use super::registration_rows::RegistrationRow;
use super::registrations::AgentRecord;
use super::tokens::TokenRecord;
use crate::keys::{KeyId, KeyRecord, Revision, Timestamp, TokenId};

/// Rows handed over at once.
pub(in crate::store) const PAGE: usize = 500;

/// One row. Those of keys come before all others; a row may come twice where the
/// store changes meanwhile.
#[derive(Clone)]
pub enum Row {
    /// What lies under a key's id.
    Key {
        id: KeyId,
        /// For [`read_key`].
        row: Vec<u8>,
    },
    /// A place in the list of keys.
    Listed {
        id: KeyId,
        /// The creation that the place is for.
        created_at: Timestamp,
    },
    /// An entry of the feed; they come in its order.
    Change {
        /// The revision that it lies under.
        revision: Revision,
        /// For [`read_change`].
        row: Vec<u8>,
    },
    /// An admin token.
    Token {
        id: TokenId,
        /// For [`read_token`].
        row: Vec<u8>,
    },
    /// An agent.
    Agent {
        id: Uuid,
        /// For [`read_agent`].
        row: Vec<u8>,
    },
    /// An agent under a key.
    Registration {
        key: KeyId,
        agent: Uuid,
        /// For [`check_registration`].
        row: Vec<u8>,
    },
    /// A key's last use.
    Use { key: KeyId, at: Timestamp },
    /// An event.
    Event {
        id: u64,
        /// For [`check_event`].
        row: Vec<u8>,
    },
    /// A record of the audit trail.
    Audit {
        id: u64,
        /// For [`check_audit`].
        row: Vec<u8>,
    },
    /// Something that is out of order in the backend itself.
    Odd(Oddity),
}

/// What only the backend can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddity {
    pub kind: OddKind,
    /// What it is about: a name in the store, an id.
    pub subject: String,
    pub fault: String,
}

/// Kinds of [`Oddity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OddKind {
    /// It can't be read.
    Damaged,
    /// Two that belong together do not agree.
    Index,
    /// Nothing of muster's has that name.
    Unknown,
}

impl Oddity {
    pub(in crate::store) fn row(
        kind: OddKind,
        subject: impl Into<String>,
        fault: impl Into<String>,
    ) -> Row {
        Row::Odd(Self {
            kind,
            subject: subject.into(),
            fault: fault.into(),
        })
    }
}

/// A whole store, page by page.
pub struct Scan {
    /// The counter of changes, as it was at the begin.
    pub revision: Revision,
    /// Keys that expired up to here have had their event.
    pub expiries_until: Option<Timestamp>,
    /// What is set for all gateways, by name; of an embedded store alone, the only
    /// one that is copied.
    pub settings: Vec<(String, String)>,
    /// The store's time at the begin.
    pub now: Timestamp,
    /// Others may change the store meanwhile.
    pub shared: bool,
    /// An error is the last page.
    pub pages: mpsc::Receiver<Result<Vec<Row>, StoreError>>,
}

/// What lies under a key's id.
pub enum Stored {
    Key(KeyRecord),
    /// The marker of a deleted one.
    Deleted {
        /// The revision of the delete.
        revision: Revision,
        /// When it would have expired.
        expires_at: Timestamp,
    },
}

impl Stored {
    /// The revision of the last change.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Key(record) => record.revision,
            Self::Deleted { revision, .. } => *revision,
        }
    }
}

/// Reads a key's row.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn read_key(id: KeyId, row: &[u8]) -> Result<Stored, StoreError> {
    Ok(match decode(row, || id.to_string())? {
        StoredKey::Key(row) => Stored::Key(row.to_record(id)),
        StoredKey::Deleted(marker) => Stored::Deleted {
            revision: marker.revision,
            expires_at: marker.expires_at,
        },
    })
}

/// Reads an entry of the feed, and the revision that it says it made.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn read_change(revision: Revision, row: &[u8]) -> Result<(Change, Revision), StoreError> {
    let row: FeedRow = decode(row, || format!("feed entry {revision}"))?;
    Ok((to_change(&row), row.record.revision()))
}

/// Reads a token's row.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn read_token(id: TokenId, row: &[u8]) -> Result<TokenRecord, StoreError> {
    let row: TokenRow = decode(row, || id.to_string())?;
    Ok(row.to_record(id))
}

/// Reads an agent's row: the key of its last join, and when it was last seen.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn read_agent(id: Uuid, row: &[u8]) -> Result<(KeyId, Timestamp), StoreError> {
    let record: AgentRecord = decode(row, || format!("agent {id}"))?;
    Ok((record.key, record.last_seen))
}

/// Whether a registration can be read.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn check_registration(key: KeyId, agent: Uuid, row: &[u8]) -> Result<(), StoreError> {
    decode::<RegistrationRow>(row, || format!("{key}'s agent {agent}")).map(|_| ())
}

/// Whether an event can be read.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn check_event(id: u64, row: &[u8]) -> Result<(), StoreError> {
    decode::<Event>(row, || format!("event {id}")).map(|_| ())
}

/// Whether a record of the audit trail can be read.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn check_audit(id: u64, row: &[u8]) -> Result<(), StoreError> {
    decode::<AuditRecord>(row, || format!("audit record {id}")).map(|_| ())
}

/// Gathers rows into pages, and hands them over.
pub(in crate::store) struct Pages {
    rows: Vec<Row>,
    to: mpsc::Sender<Result<Vec<Row>, StoreError>>,
}

/// There is no reader any more.
pub(in crate::store) struct Gone;

impl Pages {
    pub fn new() -> (Self, mpsc::Receiver<Result<Vec<Row>, StoreError>>) {
        let (to, pages) = mpsc::channel(2);
        let rows = Vec::new();
        (Self { rows, to }, pages)
    }

    /// Adds a row, where blocking is allowed.
    pub fn add_blocking(&mut self, row: Row) -> Result<(), Gone> {
        self.rows.push(row);
        if self.rows.len() < PAGE {
            return Ok(());
        }
        let page = std::mem::take(&mut self.rows);
        self.to.blocking_send(Ok(page)).map_err(|_| Gone)
    }

    pub async fn add(&mut self, rows: impl IntoIterator<Item = Row>) -> Result<(), Gone> {
        self.rows.extend(rows);
        if self.rows.len() < PAGE {
            return Ok(());
        }
        let page = std::mem::take(&mut self.rows);
        self.to.send(Ok(page)).await.map_err(|_| Gone)
    }

    /// Hands over the rest, or the error. Without a reader that is no fault.
    pub fn end_blocking(self, result: Result<(), StoreError>) {
        let _ = self.to.blocking_send(Ok(self.rows));
        if let Err(error) = result {
            let _ = self.to.blocking_send(Err(error));
        }
    }

    pub async fn end(self, result: Result<(), StoreError>) {
        let _ = self.to.send(Ok(self.rows)).await;
        if let Err(error) = result {
            let _ = self.to.send(Err(error)).await;
        }
    }
}
