//! Why agents do not get in: the last refusals, grouped, for an operator.
//!
//! Owns: the closed set of reasons with their words, and the bounded list of
//! what was refused. Must not know: gRPC, TLS, its callers.
//! Invariants: whatever strangers send, the list holds at most its capacity;
//! recording takes O(log n), waits for nothing but a short lock, and keeps no
//! text of an agent.

mod event_limit;
mod reason;

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use event_limit::Telling;
pub use reason::Reason;

use crate::gateway::events::Events;
use crate::keys::{KeyId, Timestamp};
use crate::store::StoreClock;

/// Groups that a gateway keeps: some 3 MB at most.
pub const CAPACITY: usize = 10_000;

/// What refusals have in common when they are counted as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Group {
    /// Why.
    pub reason: Reason,
    /// The key that the credential names, if the store knows it.
    pub key: Option<KeyId>,
    /// The agent's resource id, if it gave one. Self-declared.
    pub agent: Option<Uuid>,
    /// Where it came from.
    pub address: IpAddr,
}

/// A group as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Where it stands in the list: higher is newer. Changes with each refusal
    /// of the group, and no two ever share one.
    pub number: u64,
    /// What its refusals have in common.
    pub group: Group,
    /// How many there were.
    pub count: u64,
    /// The first of them, on the store's clock.
    pub first_at: Timestamp,
    /// The last of them.
    pub last_at: Timestamp,
}

/// Which groups are asked for; `None`: any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Of this key.
    pub key: Option<KeyId>,
    /// Of this agent.
    pub agent: Option<Uuid>,
}

impl Filter {
    /// Whether it asks for a group.
    pub fn takes(&self, group: &Group) -> bool {
        self.key.is_none_or(|key| group.key == Some(key))
            && self.agent.is_none_or(|agent| group.agent == Some(agent))
    }
}

/// The last refusals of one gateway. Kept in memory alone.
#[derive(Debug)]
pub struct Rejections {
    capacity: usize,
    clock: StoreClock,
    groups: Mutex<Groups>,
    telling: Option<Telling>,
}

#[derive(Debug, Default)]
struct Groups {
    last_number: u64,
    numbers: HashMap<Group, u64>,
    /// The least recently seen comes first.
    by_number: BTreeMap<u64, Rejection>,
}

impl Rejections {
    /// An empty list of at most `capacity` groups.
    pub fn new(capacity: usize, clock: StoreClock) -> Self {
        Self {
            capacity,
            clock,
            groups: Mutex::default(),
            telling: None,
        }
    }

    /// Also reports each new group as an event, at most so often that a flood
    /// of strangers can't drive other events out.
    #[must_use]
    pub fn telling(self, events: Arc<Events>) -> Self {
        Self {
            telling: Some(Telling::new(events)),
            ..self
        }
    }

    /// Counts one refusal. Beyond the capacity the group that was not seen for
    /// longest goes.
    pub fn record(&self, group: Group) {
        // On a dual-stack socket an IPv4 peer appears as ::ffff:a.b.c.d.
        let group = Group {
            address: group.address.to_canonical(),
            ..group
        };
        if self.count(group)
            && let Some(telling) = &self.telling
        {
            telling.tell(&group);
        }
    }

    /// Counts one; true when its group is new.
    fn count(&self, group: Group) -> bool {
        let mut groups = self.groups.lock();
        // Under the lock, so that numbers and times agree.
        let now = self.clock.now();
        groups.last_number += 1;
        let number = groups.last_number;
        let before = groups.numbers.insert(group, number);
        let known = before.and_then(|before| groups.by_number.remove(&before));
        let is_new = known.is_none();
        let rejection = match known {
            Some(known) => Rejection {
                number,
                count: known.count.saturating_add(1),
                last_at: now,
                ..known
            },
            None => Rejection {
                number,
                group,
                count: 1,
                first_at: now,
                last_at: now,
            },
        };
        groups.by_number.insert(number, rejection);
        while groups.by_number.len() > self.capacity {
            if let Some((_, oldest)) = groups.by_number.pop_first() {
                groups.numbers.remove(&oldest.group);
            }
        }
        is_new
    }

    /// At most `limit` groups, newest first, beginning below the number
    /// `before`. A walk through the pages meets no group twice; one that is refused
    /// again meanwhile has moved to the front.
    pub fn list(&self, filter: Filter, before: Option<u64>, limit: usize) -> Vec<Rejection> {
        self.groups
            .lock()
            .by_number
            .range(..before.unwrap_or(u64::MAX))
            .rev()
            .map(|(_, rejection)| rejection)
            .filter(|rejection| filter.takes(&rejection.group))
            .take(limit)
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejections(capacity: usize) -> Rejections {
        Rejections::new(capacity, StoreClock::default())
    }

    fn of_agent(agent: u128) -> Group {
        Group {
            reason: Reason::UnknownKey,
            key: None,
            agent: Some(Uuid::from_u128(agent)),
            address: "192.0.2.1".parse().unwrap(),
        }
    }

    fn all(list: &Rejections) -> Vec<Rejection> {
        list.list(Filter::default(), None, usize::MAX)
    }

    #[test]
    fn what_is_alike_is_one_group_with_a_count() {
        let list = rejections(10);
        let key = "key_0123456789ABCDEF".parse().unwrap();
        let alike = of_agent(1);
        let mapped = Group {
            address: "::ffff:192.0.2.1".parse().unwrap(),
            ..alike
        };
        for group in [alike, alike, mapped] {
            list.record(group);
        }
        for other in [
            Group {
                reason: Reason::KeyRevoked,
                ..alike
            },
            Group {
                key: Some(key),
                ..alike
            },
            Group {
                agent: None,
                ..alike
            },
            Group {
                address: "192.0.2.2".parse().unwrap(),
                ..alike
            },
        ] {
            list.record(other);
        }
        let seen = all(&list);
        assert_eq!(seen.len(), 5);
        let [.., oldest] = seen.as_slice() else {
            panic!("{seen:?}");
        };
        assert_eq!((oldest.group, oldest.count), (alike, 3));
        assert!(oldest.first_at <= oldest.last_at);
        let of_key = Filter {
            key: Some(key),
            ..Filter::default()
        };
        assert_eq!(list.list(of_key, None, 9).len(), 1);
        let agent = Filter {
            agent: alike.agent,
            ..Filter::default()
        };
        assert_eq!(list.list(agent, None, 9).len(), 4);
    }

    #[test]
    fn a_flood_of_strangers_stays_bounded_and_the_oldest_go_first() {
        const SMALL: u128 = 100;
        let list = rejections(SMALL as usize);
        let persistent = of_agent(u128::MAX);
        for agent in 0..50 * SMALL {
            list.record(of_agent(agent));
            list.record(persistent);
        }
        let groups = list.groups.lock();
        assert_eq!(groups.by_number.len(), SMALL as usize);
        assert_eq!(groups.numbers.len(), SMALL as usize);
        drop(groups);
        let seen = all(&list);
        assert_eq!(seen[0].group, persistent);
        assert_eq!(u128::from(seen[0].count), 50 * SMALL);
        assert_eq!(seen[1].group, of_agent(50 * SMALL - 1));
        assert_eq!(seen[99].group, of_agent(49 * SMALL + 1));
    }

    #[test]
    fn pages_meet_every_quiet_group_once() {
        let list = rejections(100);
        (0..25).for_each(|agent| list.record(of_agent(agent)));
        let mut met = Vec::new();
        let mut before = None;
        loop {
            let page = list.list(Filter::default(), before, 10);
            let Some(last) = page.last() else { break };
            before = Some(last.number);
            met.extend(page.iter().map(|r| r.group.agent.unwrap().as_u128()));
            // One that was shown and a new one: neither disturbs the walk.
            list.record(of_agent(24));
            list.record(of_agent(99));
        }
        assert_eq!(met, (0..25).rev().collect::<Vec<_>>());
    }
}
