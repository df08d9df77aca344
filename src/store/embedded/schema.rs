//! The tables of the store file.

use redb::{TableDefinition, WriteTransaction};

/// Facts about the file: `format`, `epoch`, `revision`, each as bytes.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("muster_meta");
/// The layout of tables and rows that this muster reads and writes.
pub(super) const LAYOUT: u64 = 1;

type Keys = TableDefinition<'static, &'static [u8; 16], &'static [u8]>;
/// Key id -> `StoredKey`.
pub(super) const KEYS: Keys = Keys::new("keys");
/// (creation in milliseconds, key id), for lists in order of creation.
pub(super) const BY_CREATION: TableDefinition<'_, (i64, &[u8; 16]), ()> =
    TableDefinition::new("keys_by_creation");
/// Revision -> `FeedRow`.
pub(super) const FEED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("feed");

/// (when the key would have expired, key id). Made by the first start: files
/// from before have none.
pub(super) const TOMBSTONES: TableDefinition<'_, (i64, &[u8; 16]), ()> =
    TableDefinition::new("deleted_keys_by_expiry");

/// Number -> row. The newest is always kept, so its number is the counter.
pub(super) type Rows = TableDefinition<'static, u64, &'static [u8]>;

/// Id -> `Event`.
pub(super) const EVENTS: Rows = Rows::new("events");
/// Id -> `AuditRecord`.
pub(super) const AUDIT: Rows = Rows::new("audit");
/// Token id -> `TokenRow`.
pub(super) const TOKENS: TableDefinition<'static, &'static [u8; 16], &'static [u8]> =
    TableDefinition::new("tokens");

/// (key id, agent) -> `RegistrationRow`.
pub(super) const REGISTRATIONS: TableDefinition<'_, Place<'_>, &[u8]> =
    TableDefinition::new("registrations");
pub(super) type Place<'a> = (&'a [u8; 16], &'a [u8; 16]);
/// Agent -> `AgentRecord` as `agent_row` writes it.
pub(super) const AGENTS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("agents");
/// (agent, key id), to find an agent's registrations.
pub(super) const BY_AGENT: TableDefinition<'_, Place<'_>, ()> =
    TableDefinition::new("registrations_by_agent");
/// Key id -> `UseRow`. Made by its first write: files from before have none.
pub(super) const USES: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("key_uses");

/// Creates the tables that are missing.
pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(META)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(BY_CREATION)?;
    transaction.open_table(FEED)?;
    transaction.open_table(TOMBSTONES)?;
    transaction.open_table(EVENTS)?;
    transaction.open_table(AUDIT)?;
    transaction.open_table(TOKENS)?;
    transaction.open_table(REGISTRATIONS)?;
    transaction.open_table(BY_AGENT)?;
    transaction.open_table(AGENTS)?;
    Ok(())
}
