//! Names of keys and fields in Redis, and what lies under them.
//!
//! All carry one hash tag, so that one step may touch several of them. Changing
//! a name changes the format: a test pins them.

use uuid::Uuid;

use crate::keys::{Id, KeyId, Timestamp};

/// The format that this muster writes.
pub(super) const FORMAT: &str = "1";

/// Fields of [`Schema::meta`].
pub(super) const FIELD_FORMAT: &str = "format";
pub(super) const FIELD_STORE_ID: &str = "store_id";
pub(super) const FIELD_REPLID: &str = "replid";
pub(super) const FIELD_EPOCH: &str = "epoch";
pub(super) const FIELD_REVISION: &str = "revision";
/// There once a key was created, whatever became of it.
pub(super) const FIELD_HAD_KEYS: &str = "had_keys";
/// Counts changes of tokens, as a guard of their steps.
pub(super) const FIELD_TOKEN_CHANGES: &str = "token_changes";
/// Keys that expired up to here have had their event; milliseconds since 1970.
pub(super) const FIELD_EXPIRIES_UNTIL: &str = "expiries_until";
/// The field of a feed entry: a `FeedRow`.
pub(super) const FIELD_CHANGE: &str = "change";

/// The names under one prefix.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    prefix: String,
}

impl Schema {
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: format!("{{{prefix}}}"),
        }
    }

    fn name(&self, what: &str) -> String {
        format!("{}:{what}", self.prefix)
    }

    /// Hash: identity and counters.
    pub fn meta(&self) -> String {
        self.name("meta")
    }

    /// String: a key's `StoredKey`.
    pub fn key(&self, id: KeyId) -> String {
        self.name(&format!("key:{}", id.0))
    }

    /// Sorted set of [`place`]s: the keys in order of creation.
    pub fn keys(&self) -> String {
        self.name("keys")
    }

    /// Stream: the changes of keys, each under its revision.
    pub fn feed(&self) -> String {
        self.name("feed")
    }

    /// Hash: gateway id -> what it said when it enrolled.
    pub fn gateways(&self) -> String {
        self.name("gateways")
    }

    /// Hash: gateway id -> its last heartbeat.
    pub fn beats(&self) -> String {
        self.name("beats")
    }

    /// Hash: gateway id -> what the last final change of a key did there.
    pub fn outcomes(&self, key: KeyId) -> String {
        self.name(&format!("outcomes:{}", key.0))
    }

    /// Hash: token id -> `TokenRow`.
    pub fn tokens(&self) -> String {
        self.name("tokens")
    }

    /// Sorted set: events by their number.
    pub fn events(&self) -> String {
        self.name("events")
    }

    /// Hash: agent -> `AgentRow`.
    pub fn agents(&self) -> String {
        self.name("agents")
    }

    /// Sorted set of agents, in order of their ids.
    pub fn agent_index(&self) -> String {
        self.name("agents:index")
    }

    /// Hash: [`registration`] -> `RegistrationRow`.
    pub fn registrations(&self) -> String {
        self.name("registrations")
    }

    /// Sorted set of [`registration`]s, in order of key and agent.
    pub fn registration_index(&self) -> String {
        self.name("registrations:index")
    }

    /// Sorted set: key ids by the milliseconds since 1970 of their last use.
    pub fn uses(&self) -> String {
        self.name("uses")
    }

    /// Sorted set of the same, in order of their ids.
    pub fn use_index(&self) -> String {
        self.name("uses:index")
    }

    /// Set: the keys that an agent is registered under.
    pub fn keys_of(&self, agent: Uuid) -> String {
        self.name(&format!("agent:{agent}:keys"))
    }
}

/// The field of [`Schema::meta`] for a claim.
pub(super) fn claim(name: &str) -> String {
    format!("claim:{name}")
}

/// The field of [`Schema::meta`] that says: an operator put this store in the
/// place of that one (`muster store adopt`), so who knows that one is let in.
/// `step.lua` has it, too.
#[allow(dead_code, reason = "written by the command that adopts")]
pub(super) fn alias(store: Id) -> String {
    format!("alias:{store}")
}

/// A key's place in the list: sorts by creation, then by id.
pub(super) fn place(created_at: Timestamp, id: KeyId) -> String {
    // The sign bit flipped: negative times sort before positive ones.
    let millis = created_at.as_millis().cast_unsigned() ^ (1 << 63);
    format!("{millis:016x}:{}", id.0)
}

/// What [`place`] was made of.
pub(super) fn parse_place(text: &str) -> Option<(Timestamp, KeyId)> {
    let (millis, id) = text.split_once(':')?;
    let millis = u64::from_str_radix(millis, 16).ok()? ^ (1 << 63);
    let id = Id::parse(id)?;
    Some((Timestamp::from_millis(millis.cast_signed()), KeyId(id)))
}

/// A registration's place: sorts by key, then by agent.
pub(super) fn registration(key: KeyId, agent: Uuid) -> String {
    format!("{}:{agent}", key.0)
}

/// Where a key's registrations begin and end, as `ZRANGE … BYLEX` takes it.
pub(super) fn registrations_of(key: KeyId) -> (String, String) {
    // ';' follows ':': all places of the key, and none beyond.
    (format!("[{}:", key.0), format!("({};", key.0))
}

/// What [`registration`] was made of.
pub(super) fn parse_registration(text: &str) -> Option<(KeyId, Uuid)> {
    let (key, agent) = text.split_once(':')?;
    Some((KeyId(Id::parse(key)?), agent.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_as_they_are() {
        let schema = Schema::new("muster");
        let key: KeyId = "key_0123456789ABCDEF".parse().unwrap();
        let agent = Uuid::from_u128(1);
        assert_eq!(schema.meta(), "{muster}:meta");
        assert_eq!(claim("x"), "claim:x");
        assert_eq!(alias(key.0), "alias:0123456789ABCDEF");
        assert!(include_str!("step.lua").contains("'alias:'"));
        assert_eq!(schema.key(key), "{muster}:key:0123456789ABCDEF");
        assert_eq!(schema.keys(), "{muster}:keys");
        assert_eq!(schema.feed(), "{muster}:feed");
        assert_eq!(schema.gateways(), "{muster}:gateways");
        assert_eq!(schema.beats(), "{muster}:beats");
        assert_eq!(schema.outcomes(key), "{muster}:outcomes:0123456789ABCDEF");
        assert_eq!(schema.tokens(), "{muster}:tokens");
        assert_eq!(schema.events(), "{muster}:events");
        assert_eq!(schema.agents(), "{muster}:agents");
        assert_eq!(schema.agent_index(), "{muster}:agents:index");
        assert_eq!(schema.registrations(), "{muster}:registrations");
        assert_eq!(schema.registration_index(), "{muster}:registrations:index");
        assert_eq!(schema.uses(), "{muster}:uses");
        assert_eq!(schema.use_index(), "{muster}:uses:index");
        assert_eq!(
            schema.keys_of(agent),
            "{muster}:agent:00000000-0000-0000-0000-000000000001:keys"
        );
        assert_eq!(
            registration(key, agent),
            "0123456789ABCDEF:00000000-0000-0000-0000-000000000001"
        );
        assert_eq!(
            place(Timestamp::from_millis(1), key),
            "8000000000000001:0123456789ABCDEF"
        );
    }

    #[test]
    fn places_sort_as_their_times_and_come_back() {
        let id: KeyId = "key_0123456789ABCDEF".parse().unwrap();
        let times = [i64::MIN, -1, 0, 1, i64::MAX].map(Timestamp::from_millis);
        let places = times.map(|at| place(at, id));
        assert!(places.is_sorted());
        let back = places.map(|text| parse_place(&text).unwrap());
        assert_eq!(back, times.map(|at| (at, id)));
    }
}
