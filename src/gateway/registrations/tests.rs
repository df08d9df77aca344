//! Rows outlive the process, change with reports, and are forgotten in time.

use super::*;
use crate::keys::Id;
use crate::store::StoreClock;
use crate::store::embedded::EmbeddedStore;

const DAY: Duration = Duration::from_secs(24 * 3600);
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn key() -> KeyId {
    KeyId(Id::random().unwrap())
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn with(instances: &[&str]) -> AgentReport {
    AgentReport {
        hostname: "h".into(),
        instances: instances
            .iter()
            .map(|id| ReportedInstance {
                reported_id: (*id).into(),
                version: "1.22.1".into(),
                ..ReportedInstance::default()
            })
            .collect(),
        ..AgentReport::default()
    }
}

async fn loaded(store: &Arc<EmbeddedStore>) -> Instances {
    Instances::load(store.clone(), InstanceLimits::default())
        .await
        .unwrap()
}

fn store() -> Arc<EmbeddedStore> {
    Arc::new(EmbeddedStore::in_memory().unwrap())
}

fn join(instances: &Instances, key: KeyId, agent: u128, now: i64) {
    let agent = Uuid::from_u128(agent);
    instances
        .joined(key, agent, HERE, with(&["i"]), at(now))
        .unwrap();
}

#[tokio::test]
async fn rows_outlive_the_process() {
    let store = store();
    let instances = loaded(&store).await;
    let (one, two) = (key(), key());
    for agent in 0..2500 {
        join(&instances, one, agent, 1);
    }
    join(&instances, one, 0, 5);
    join(&instances, two, 0, 9);
    instances.flush().await.unwrap();
    let again = loaded(&store).await;
    let counts = |now, ever| AgentCounts {
        now,
        ever,
        instances: now,
    };
    assert_eq!(again.counts(one), counts(2499, 2500));
    assert_eq!(again.counts(two), counts(1, 1));
    let (record, registrations) = again.agent(Uuid::from_u128(0)).unwrap();
    assert_eq!(
        (record.key, record.first_seen, record.last_seen),
        (two, at(1), at(9))
    );
    let seen: Vec<_> = registrations
        .iter()
        .map(|row| (row.key, row.first_seen, row.last_seen, row.joins))
        .collect();
    assert_eq!(seen, [(one, at(1), at(5), 2), (two, at(9), at(9), 1)]);
    assert!(again.ever_joined(one, record.agent));
}

#[tokio::test]
async fn a_page_is_full_whatever_lies_between_its_agents() {
    let instances = loaded(&store()).await;
    let (wanted, other) = (key(), key());
    for agent in 0..30 {
        // One in three each: only the other key, both, only the wanted one.
        if agent % 3 > 0 {
            join(&instances, wanted, agent, 1);
        }
        if agent % 3 < 2 {
            join(&instances, other, agent, 2);
        }
    }
    let walk = |under| {
        let mut sizes = Vec::new();
        let mut after = None;
        loop {
            let page = instances.agents(under, after, 4, |_| true);
            let Some(last) = page.last() else { break };
            after = Some(last.agent);
            sizes.push(page.len());
        }
        sizes
    };
    assert_eq!(walk(Under::Ever(wanted)), [4, 4, 4, 4, 4]);
    assert_eq!(walk(Under::Now(wanted)), [4, 4, 2]);
    assert_eq!(walk(Under::Any), [4, 4, 4, 4, 4, 4, 4, 2]);
}

#[tokio::test]
async fn an_instance_is_kept_as_not_reported_when_it_is_gone() {
    let instances = loaded(&store()).await;
    let agent = Uuid::from_u128(1);
    let key = key();
    instances
        .joined(key, agent, HERE, with(&["a", "b"]), at(1))
        .unwrap();
    instances.record_health(agent, &[("a".into(), Some(Health::Healthy))], at(2));
    let state = |connected| {
        let (record, _) = instances.agent(agent).unwrap();
        let states: Vec<_> = record
            .instances
            .iter()
            .map(|i| InstanceStatus::of(i, connected))
            .collect();
        states
    };
    use InstanceStatus::{Offline, Online, Unavailable, Unknown};
    assert_eq!(state(true), [Online, Unknown]);
    assert_eq!(state(false), [Unavailable, Unavailable]);
    instances.record_report(agent, with(&["b"]), at(3));
    assert_eq!(state(true), [Offline, Unknown]);
    instances.record_health(agent, &[("b".into(), Some(Health::Unhealthy))], at(4));
    assert_eq!(state(true), [Offline, Offline]);
    instances.record_report(agent, with(&["a", "b"]), at(5));
    instances.record_health(agent, &[("b".into(), Some(Health::Degraded))], at(6));
    assert_eq!(state(true), [Online, Online], "its health is remembered");
    instances.record_report(Uuid::from_u128(2), with(&["a"]), at(7));
    assert!(
        instances.agent(Uuid::from_u128(2)).is_none(),
        "never joined"
    );
}

#[tokio::test]
async fn an_agent_that_makes_up_instances_stays_bounded() {
    let instances = loaded(&store()).await;
    let agent = Uuid::from_u128(1);
    instances
        .joined(key(), agent, HERE, with(&[]), at(1))
        .unwrap();
    for n in 0..1000 {
        instances.record_report(agent, with(&[&format!("i{n}")]), at(n));
    }
    let (record, _) = instances.agent(agent).unwrap();
    assert_eq!(record.instances.len(), 128);
    assert!(record.instances.iter().any(|i| i.reported_id == "i999"));
}

#[tokio::test]
async fn an_agents_words_are_bounded_in_bytes_and_the_newest_stay() {
    let instances = loaded(&store()).await;
    let agent = Uuid::from_u128(1);
    let word = |n: i64| format!("{n}{}", "\u{10ffff}".repeat(300));
    instances
        .joined(key(), agent, HERE, with(&[]), at(1))
        .unwrap();
    for n in 0..100 {
        let mut report = with(&[&word(n)]);
        report.labels = (0..100).map(|l| (word(l), word(l))).collect();
        instances.record_report(agent, report.bounded(), at(n));
    }
    let (record, _) = instances.agent(agent).unwrap();
    let of_instances: usize = record.instances.iter().map(|i| i.reported_id.len()).sum();
    let of_labels: usize = record.labels.iter().map(|(k, v)| k.len() + v.len()).sum();
    for bytes in [of_instances, of_labels] {
        assert!((12 << 10..=16 << 10).contains(&bytes), "{bytes}");
    }
    let newest = record.instances.last().unwrap();
    assert!(newest.reported && newest.reported_id.starts_with("99"));
}

#[tokio::test]
async fn a_full_key_takes_no_new_agent() {
    let limits = InstanceLimits {
        max_agents_per_key: 2,
        ..InstanceLimits::default()
    };
    let instances = Instances::load(store(), limits).await.unwrap();
    let (full, other) = (key(), key());
    join(&instances, full, 1, 1);
    join(&instances, full, 2, 1);
    let third = Uuid::from_u128(3);
    let refused = instances.joined(full, third, HERE, with(&[]), at(1));
    assert_eq!(
        refused,
        Err(TooManyAgents {
            key: full,
            limit: 2
        })
    );
    assert!(instances.agent(third).is_none());
    join(&instances, full, 1, 2);
    join(&instances, other, 3, 2);
}

#[tokio::test]
async fn agents_that_are_gone_too_long_are_forgotten_with_their_registrations() {
    let store = store();
    let instances = loaded(&store).await;
    let (one, two) = (key(), key());
    for agent in 1..=3 {
        join(&instances, one, agent, 0);
    }
    join(&instances, two, 2, 0);
    instances.flush().await.unwrap();
    let day = 24 * 3600 * 1000;
    let connected = HashSet::from([Uuid::from_u128(1)]);
    assert!(instances.age(&connected, None, DAY, at(day - 1)).is_empty());
    join(&instances, one, 3, day - 1);
    assert_eq!(
        instances.age(&connected, None, DAY, at(day)),
        [Uuid::from_u128(2)]
    );
    // Seen at the end of its connection, so the day begins there.
    assert!(
        instances
            .age(&HashSet::new(), None, DAY, at(day + 1))
            .is_empty()
    );
    instances.flush().await.unwrap();
    let again = loaded(&store).await;
    assert_eq!(
        again.counts(one),
        AgentCounts {
            now: 2,
            ever: 2,
            instances: 2,
        }
    );
    assert_eq!(again.counts(two), AgentCounts::default());
    assert_eq!(store.registrations(None, 10).await.unwrap().len(), 2);
}

/// The sight of a connected agent is renewed often enough for the limit: else
/// one that was there for long would be forgotten the moment it leaves.
#[tokio::test]
async fn a_short_limit_begins_at_the_end_of_the_connection_too() {
    let minute = 60_000;
    let limit = Duration::from_secs(60);
    let instances = loaded(&store()).await;
    join(&instances, key(), 1, 0);
    let connected = HashSet::from([Uuid::from_u128(1)]);
    for look in 1..=20 {
        let now = at(look * minute / 4);
        assert!(instances.age(&connected, None, limit, now).is_empty());
    }
    let left = 5 * minute;
    assert!(
        instances
            .age(&HashSet::new(), None, limit, at(left + minute - 1))
            .is_empty()
    );
    let gone = instances.age(&HashSet::new(), None, limit, at(left + minute));
    assert_eq!(gone, [Uuid::from_u128(1)]);
}

#[tokio::test]
async fn a_forgotten_row_is_not_written_again() {
    let store = store();
    let instances = loaded(&store).await;
    let (one, two) = (key(), key());
    join(&instances, one, 1, 1);
    join(&instances, two, 1, 1);
    instances.flush().await.unwrap();
    join(&instances, one, 1, 2);
    instances.forget_key(one).await.unwrap();
    instances.flush().await.unwrap();
    let rows = store.registrations(None, 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].key, two);
    assert_eq!(instances.counts(one).ever, 0);
}

#[tokio::test]
async fn a_last_use_outlives_the_process_and_the_agents() {
    let store = store();
    let instances = loaded(&store).await;
    let (joined, used, never) = (key(), key(), key());
    join(&instances, joined, 1, 5);
    instances.used(joined, at(5));
    instances.used(used, at(7));
    instances.used(used, at(6));
    assert_eq!(instances.last_used(used), Some(at(7)), "only forward");
    instances.flush().await.unwrap();
    let day = 24 * 3600 * 1000;
    assert_eq!(
        instances.age(&HashSet::new(), None, DAY, at(day + 5)).len(),
        1
    );
    instances.flush().await.unwrap();
    let again = loaded(&store).await;
    assert_eq!(again.counts(joined).ever, 0);
    assert_eq!(again.last_used(joined), Some(at(5)));
    assert_eq!(again.last_used(used), Some(at(7)));
    assert_eq!(again.last_used(never), None);
    again.forget_key(used).await.unwrap();
    assert_eq!(loaded(&store).await.last_used(used), None);
}

#[tokio::test]
async fn a_key_in_use_is_written_coarsely_and_at_the_end() {
    let store = store();
    let instances = Arc::new(loaded(&store).await);
    let key = key();
    let minute = 60_000;
    let stored = async || store.key_uses(None, 9).await.unwrap();
    for (now, written) in [(0, 0), (9, 0), (10, 10), (19, 10)] {
        instances.used(key, at(now * minute));
        instances.flush().await.unwrap();
        assert_eq!(stored().await, [(key, at(written * minute))]);
    }
    let stop = tokio_util::sync::CancellationToken::new();
    stop.cancel();
    let nobody = || Connected {
        agents: HashSet::new(),
        keys: Vec::new(),
    };
    let clock = StoreClock::default();
    instances
        .run(
            Duration::MAX,
            clock,
            Cleanup {
                connected: nobody,
                elsewhere: async || None,
                limit: async || None,
                forgotten: |_| {},
            },
            stop,
        )
        .await;
    assert_eq!(stored().await, [(key, at(19 * minute))]);
}

#[test]
fn instance_ids_differ_by_agent_and_are_pinned() {
    let id = |agent| InstanceId::of(Uuid::from_u128(agent), "8f9").to_string();
    assert_eq!(id(1), id(1));
    assert_ne!(id(1), id(2));
    assert_eq!(id(1).len(), 21);
    assert!(id(1).starts_with("inst_"));
}
