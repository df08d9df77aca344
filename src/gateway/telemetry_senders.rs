//! Senders of telemetry by key: the last ones, bounded.
//!
//! Owns: what a sender is and how long it counts as one. Must not know: gRPC,
//! OTLP, authentication; its caller gives the time.
//! Invariants: however many names agents make up, there is a fixed number of
//! senders; noting takes O(log n) and waits for nothing but a short lock.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

use crate::keys::{KeyId, Timestamp};

/// Senders that a gateway keeps: some 3 MB at most.
pub const CAPACITY: usize = 10_000;
/// An export within this time makes a sender.
pub const WINDOW: Duration = Duration::from_secs(300);

/// A sender: what its exports have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Who {
    key: KeyId,
    address: IpAddr,
    agent: Option<Uuid>,
}

/// A recent sender of telemetry under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Where it sends from.
    pub address: IpAddr,
    /// The agent's resource id, if it gives one. Self-declared.
    pub agent: Option<Uuid>,
    /// Its first export since it last paused for longer than [`WINDOW`].
    pub first_export: Timestamp,
    /// Its last export.
    pub last_export: Timestamp,
    /// Its exports from the first to the last.
    pub exports: u64,
}

impl Sender {
    fn sends(&self, now: Timestamp) -> bool {
        now.saturating_since(self.last_export) <= WINDOW
    }
}

/// The last senders of one gateway. Kept in memory alone.
#[derive(Debug)]
pub struct Senders {
    capacity: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    last_number: u64,
    numbers: HashMap<Who, u64>,
    /// The sender that has not exported for longest comes first.
    by_number: BTreeMap<u64, (Who, Sender)>,
}

impl Senders {
    /// None yet, and at most `capacity` at a time.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            seen: Mutex::default(),
        }
    }

    /// Notes one accepted export. Beyond the capacity, the sender that has not exported for
    /// longest goes.
    pub fn note(&self, key: KeyId, address: IpAddr, agent: Option<Uuid>, now: Timestamp) {
        // On a dual-stack socket an IPv4 peer appears as ::ffff:a.b.c.d.
        let address = address.to_canonical();
        let who = Who {
            key,
            address,
            agent,
        };
        let mut seen = self.seen.lock();
        seen.last_number += 1;
        let number = seen.last_number;
        let before = seen.numbers.insert(who, number);
        let known = before.and_then(|before| seen.by_number.remove(&before));
        let sender = match known {
            Some((_, known)) if known.sends(now) => Sender {
                // Two that note at once may come in the other order.
                last_export: known.last_export.max(now),
                exports: known.exports.saturating_add(1),
                ..known
            },
            _ => Sender {
                address,
                agent,
                first_export: now,
                last_export: now,
                exports: 1,
            },
        };
        seen.by_number.insert(number, (who, sender));
        while let Some((_, (_, oldest))) = seen.by_number.first_key_value()
            && (seen.by_number.len() > self.capacity || !oldest.sends(now))
            && let Some((_, (gone, _))) = seen.by_number.pop_first()
        {
            seen.numbers.remove(&gone);
        }
    }

    /// The senders under a key, newest first.
    pub fn of(&self, key: KeyId, now: Timestamp) -> Vec<Sender> {
        let seen = self.seen.lock();
        let newest_first = seen.by_number.values().rev();
        newest_first
            .filter(|(who, sender)| who.key == key && sender.sends(now))
            .map(|(_, sender)| *sender)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Id;

    fn key() -> KeyId {
        KeyId(Id::random().unwrap())
    }

    /// Seconds after a fixed time.
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000_000 + seconds * 1000)
    }

    fn here() -> IpAddr {
        "192.0.2.1".parse().unwrap()
    }

    #[test]
    fn a_sender_is_a_key_an_address_and_an_agent_newest_first() {
        let senders = Senders::new(10);
        let (one, two) = (key(), key());
        let (agent, other) = (Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2)));
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        senders.note(one, here(), agent, at(0));
        senders.note(one, here(), other, at(1));
        senders.note(one, here(), None, at(2));
        senders.note(one, "192.0.2.2".parse().unwrap(), agent, at(3));
        senders.note(two, here(), agent, at(4));
        senders.note(one, mapped, agent, at(5));
        let seen = senders.of(one, at(6));
        assert_eq!(
            seen[0],
            Sender {
                address: here(),
                agent,
                first_export: at(0),
                last_export: at(5),
                exports: 2,
            }
        );
        let order: Vec<_> = seen.iter().map(|s| s.last_export).collect();
        assert_eq!(order, [at(5), at(3), at(2), at(1)]);
        assert_eq!(senders.of(two, at(6)).len(), 1);
        assert!(senders.of(key(), at(6)).is_empty());
    }

    #[test]
    fn who_pauses_for_longer_than_the_window_is_none_and_begins_anew() {
        let senders = Senders::new(10);
        let key = key();
        senders.note(key, here(), None, at(0));
        senders.note(key, here(), None, at(300));
        let sender = senders.of(key, at(600))[0];
        assert_eq!((sender.first_export, sender.exports), (at(0), 2));
        assert!(senders.of(key, at(601)).is_empty());
        senders.note(key, here(), None, at(601));
        let sender = senders.of(key, at(601))[0];
        assert_eq!((sender.first_export, sender.exports), (at(601), 1));
        // A sender that does not come back is not kept either.
        senders.note(key, here(), Some(Uuid::nil()), at(902));
        assert_eq!(senders.seen.lock().by_number.len(), 1);
        assert_eq!(senders.seen.lock().numbers.len(), 1);
    }

    #[test]
    fn a_clock_that_steps_back_loses_nobody() {
        let senders = Senders::new(10);
        let key = key();
        senders.note(key, here(), None, at(1000));
        senders.note(key, here(), None, at(0));
        let sender = senders.of(key, at(0))[0];
        assert_eq!((sender.last_export, sender.exports), (at(1000), 2));
    }

    #[test]
    fn made_up_agents_stay_bounded_and_the_oldest_go_first() {
        const SMALL: usize = 100;
        let senders = Senders::new(SMALL);
        let (key, steady) = (key(), Some(Uuid::nil()));
        for n in 1..=50 * SMALL {
            senders.note(key, here(), Some(Uuid::from_u128(n as u128)), at(0));
            senders.note(key, here(), steady, at(0));
        }
        assert_eq!(senders.seen.lock().numbers.len(), SMALL);
        let seen = senders.of(key, at(0));
        assert_eq!(seen.len(), SMALL);
        assert_eq!(
            (seen[0].agent, seen[0].exports),
            (steady, 50 * SMALL as u64)
        );
        let last = Uuid::from_u128(49 * SMALL as u128 + 2);
        assert_eq!(seen[99].agent, Some(last));
    }
}
