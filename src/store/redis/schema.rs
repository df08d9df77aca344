//! Names of keys and fields in Redis, and what lies under them.
//!
//! All carry one hash tag, so that one step may touch several of them. Changing
//! a name changes the format: a test pins them.

use uuid::Uuid;

use crate::keys::{Id, KeyId, Timestamp};
use crate::store::gateways::GatewayId;
use crate::store::presence::PresenceList;

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
/// The number of the newest event, as a guard of the steps that append some.
pub(super) const FIELD_LAST_EVENT: &str = "last_event";
/// The number of the newest record of the audit trail, likewise.
pub(super) const FIELD_LAST_AUDIT: &str = "last_audit";
/// Keys that expired up to here have had their event; milliseconds since 1970.
pub(super) const FIELD_EXPIRIES_UNTIL: &str = "expiries_until";
/// The field of a feed entry: a `FeedRow`.
pub(super) const FIELD_CHANGE: &str = "change";
/// Fields of an entry of [`Schema::instance_feed`]: the writer, and the ids of
/// what was written: agents of 16 bytes, keys of 16 characters, each after the
/// other.
pub(super) const FIELD_WRITER: &str = "writer";
pub(super) const FIELD_AGENTS: &str = "agents";
pub(super) const FIELD_USES: &str = "uses";
/// The key whose registrations were forgotten.
pub(super) const FIELD_FORGOTTEN: &str = "forgotten";

/// Says, as a field of [`Schema::meta`], that a copy of another store is not
/// complete.
pub(super) const FIELD_COPYING: &str = "copying";

/// What a name under the prefix is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Key(KeyId),
    KeysOf(Uuid),
    Other,
}

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

    /// Sorted set: the ids of deleted keys whose marker is there, by the milliseconds
    /// since 1970 of the latest expiry that they had.
    pub fn markers(&self) -> String {
        self.name("markers")
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

    /// Sorted set: what a gateway shows on a list, by number; expires.
    pub fn presence_list(&self, list: PresenceList, gateway: GatewayId) -> String {
        self.name(&format!("board:{}:{gateway}", list.as_str()))
    }

    /// List: lines left for a gateway; expires.
    pub fn asks(&self, gateway: GatewayId) -> String {
        self.name(&format!("asks:{gateway}"))
    }

    /// Hash: token id -> `TokenRow`.
    pub fn tokens(&self) -> String {
        self.name("tokens")
    }

    /// Sorted set: events by their number.
    pub fn events(&self) -> String {
        self.name("events")
    }

    /// Sorted set: the audit trail by its numbers.
    pub fn audit(&self) -> String {
        self.name("audit")
    }

    /// String: the number of the last batch by a writer of events or of the
    /// audit trail.
    pub fn event_writer(&self, writer: Id) -> String {
        self.name(&format!("events:writer:{writer}"))
    }

    /// Hash: agent -> its `AgentRecord`.
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

    /// Stream: which agents, registrations and last uses were written, by whom.
    pub fn instance_feed(&self) -> String {
        self.name("instances:feed")
    }

    /// Every name under the prefix, for SCAN.
    pub fn pattern(&self) -> String {
        self.name("*")
    }

    /// The names that there is one of each, and the type of what lies there.
    pub fn fixed(&self) -> [(String, &'static str); 16] {
        [
            (self.meta(), "hash"),
            (self.keys(), "zset"),
            (self.markers(), "zset"),
            (self.feed(), "stream"),
            (self.gateways(), "hash"),
            (self.beats(), "hash"),
            (self.tokens(), "hash"),
            (self.events(), "zset"),
            (self.audit(), "zset"),
            (self.instance_feed(), "stream"),
            (self.agents(), "hash"),
            (self.agent_index(), "zset"),
            (self.registrations(), "hash"),
            (self.registration_index(), "zset"),
            (self.uses(), "zset"),
            (self.use_index(), "zset"),
        ]
    }

    /// What a name is for; `None`: none of muster's.
    pub fn parse(&self, name: &str) -> Option<Name> {
        if self.fixed().iter().any(|(fixed, _)| fixed == name) {
            return Some(Name::Other);
        }
        let rest = name.strip_prefix(&self.prefix)?.strip_prefix(':')?;
        let (what, rest) = rest.split_once(':')?;
        match what {
            "key" => Id::parse(rest).map(|id| Name::Key(KeyId(id))),
            "outcomes" | "asks" => Id::parse(rest).map(|_| Name::Other),
            "board" => Id::parse(rest.split_once(':')?.1).map(|_| Name::Other),
            "events" => Id::parse(rest.strip_prefix("writer:")?).map(|_| Name::Other),
            "agent" => rest.strip_suffix(":keys")?.parse().ok().map(Name::KeysOf),
            _ => None,
        }
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

/// The field of [`Schema::meta`] for a setting.
pub(super) fn setting(name: &str) -> String {
    format!("setting:{name}")
}

/// The field of [`Schema::meta`] that says: an operator put this store in the
/// place of that one (`muster store adopt`), so a gateway that knows that one is let in.
/// `script.lua` has it, too.
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

/// Whose marker that is.
pub(super) fn parse_marker(text: &str) -> Option<KeyId> {
    Id::parse(text).map(KeyId)
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
        assert_eq!(setting("x"), "setting:x");
        assert_eq!(alias(key.0), "alias:0123456789ABCDEF");
        assert!(include_str!("script.lua").contains("'alias:'"));
        assert_eq!(schema.key(key), "{muster}:key:0123456789ABCDEF");
        assert_eq!(schema.keys(), "{muster}:keys");
        assert_eq!(schema.markers(), "{muster}:markers");
        assert_eq!(schema.feed(), "{muster}:feed");
        assert_eq!(schema.gateways(), "{muster}:gateways");
        assert_eq!(schema.beats(), "{muster}:beats");
        assert_eq!(schema.outcomes(key), "{muster}:outcomes:0123456789ABCDEF");
        let gateway = "0123456789ABCDEF".parse().unwrap();
        assert_eq!(
            schema.presence_list(PresenceList::Sessions, gateway),
            "{muster}:board:sessions:0123456789ABCDEF"
        );
        assert_eq!(schema.asks(gateway), "{muster}:asks:0123456789ABCDEF");
        assert_eq!(schema.tokens(), "{muster}:tokens");
        assert_eq!(schema.events(), "{muster}:events");
        assert_eq!(schema.audit(), "{muster}:audit");
        let writer = Id::parse("0123456789ABCDEF").unwrap();
        assert_eq!(
            schema.event_writer(writer),
            "{muster}:events:writer:0123456789ABCDEF"
        );
        assert_eq!(schema.instance_feed(), "{muster}:instances:feed");
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
    fn every_name_is_recognised_and_no_other() {
        let schema = Schema::new("muster");
        let key: KeyId = "key_0123456789ABCDEF".parse().unwrap();
        let agent = Uuid::from_u128(1);
        assert_eq!(schema.parse(&schema.key(key)), Some(Name::Key(key)));
        let keys_of = schema.keys_of(agent);
        assert_eq!(schema.parse(&keys_of), Some(Name::KeysOf(agent)));
        let others = schema.fixed().into_iter().map(|(name, _)| name);
        for name in others.chain([schema.outcomes(key)]) {
            assert_eq!(schema.parse(&name), Some(Name::Other), "{name}");
        }
        for name in [
            "{muster}:key:x",
            "{muster}:colour",
            "{muster}",
            "x",
            "{other}:meta",
        ] {
            assert_eq!(schema.parse(name), None, "{name}");
        }
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
