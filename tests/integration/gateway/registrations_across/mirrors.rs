//! Several mirrors of one Redis, each step of theirs taken by hand: whatever
//! crosses, they end as one.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster::gateway::registrations::{AgentReport, Connected, InstanceLimits, Instances, Under};
use muster::keys::{KeyId, Timestamp};
use muster::store::redis::RedisStore;
use muster::store::{AgentRecord, InstanceBatch, InstanceStore, Registration};
use uuid::Uuid;

use crate::support::{RedisServer, new_key};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const MINUTE: i64 = 60_000;
const LIMIT: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
const DAY: i64 = 24 * 60 * MINUTE;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

async fn mirror(redis: &RedisServer) -> Instances {
    let store = Arc::new(redis.store(|_| {}).await);
    Instances::load(store, InstanceLimits::default())
        .await
        .unwrap()
}

fn join(on: &Instances, key: KeyId, agent: Uuid, now: i64) {
    let report = AgentReport {
        hostname: now.to_string(),
        ..AgentReport::default()
    };
    on.joined(key, agent, HERE, report, at(now)).unwrap();
}

fn connected_are(agents: &[Uuid]) -> impl Fn() -> Connected {
    move || Connected {
        agents: agents.iter().copied().collect(),
        keys: Vec::new(),
    }
}

async fn follow(mirror: &Instances) {
    mirror.follow(&connected_are(&[])).await.unwrap();
}

/// How many agents it tells of as forgotten when it writes.
async fn tells(mirror: &Instances) -> usize {
    let told = AtomicUsize::new(0);
    let tell = |_| {
        told.fetch_add(1, Ordering::SeqCst);
    };
    mirror.flush_and_tell(&tell).await.unwrap();
    told.into_inner()
}

/// Each looks and writes until nobody has anything to tell.
async fn settle(mirrors: &[&Instances]) {
    for _ in 0..4 {
        for mirror in mirrors {
            follow(mirror).await;
            mirror.flush().await.unwrap();
        }
    }
}

type Known = Vec<(AgentRecord, Vec<Registration>)>;

fn known(mirror: &Instances) -> Known {
    let agents = mirror.agents(Under::Any, None, usize::MAX, |_| true);
    let ids = agents.into_iter().map(|row| row.agent);
    ids.map(|id| mirror.agent(id).unwrap()).collect()
}

#[tokio::test]
async fn a_stale_row_that_is_written_late_does_not_win() {
    let redis = RedisServer::start();
    let (one, two) = (mirror(&redis).await, mirror(&redis).await);
    let (old, new) = (new_key("").id, new_key("").id);
    let agent = Uuid::from_u128(1);
    join(&one, old, agent, 1);
    // It moves on before its row is written.
    join(&two, new, agent, 2);
    two.flush().await.unwrap();
    one.flush().await.unwrap();
    let store = redis.store(|_| {}).await;
    let stored = store.agents(None, 9).await.unwrap();
    assert_eq!(stored[0].key, old, "the stale one was last");
    settle(&[&one, &two]).await;
    for mirror in [&one, &two, &mirror(&redis).await] {
        let (row, registrations) = mirror.agent(agent).unwrap();
        assert_eq!((row.key, row.hostname.as_str()), (new, "2"));
        assert_eq!((row.first_seen, registrations.len()), (at(1), 2));
        assert_eq!((mirror.counts(old).now, mirror.counts(new).now), (0, 1));
    }
}

/// That an agent is connected says nothing of what it reported elsewhere since.
#[tokio::test]
async fn a_sight_does_not_win_over_a_later_join() {
    let redis = RedisServer::start();
    let (one, two) = (mirror(&redis).await, mirror(&redis).await);
    let (old, new) = (new_key("").id, new_key("").id);
    let agent = Uuid::from_u128(1);
    join(&one, old, agent, 0);
    settle(&[&one, &two]).await;
    join(&two, new, agent, 60 * MINUTE);
    // Its old session stands still.
    one.age(&HashSet::from([agent]), None, LIMIT, at(61 * MINUTE));
    two.flush().await.unwrap();
    one.flush().await.unwrap();
    settle(&[&one, &two]).await;
    for mirror in [&one, &two, &mirror(&redis).await] {
        let (row, _) = mirror.agent(agent).unwrap();
        assert_eq!((row.key, row.last_seen), (new, at(61 * MINUTE)));
    }
}

#[tokio::test]
async fn an_agent_is_forgotten_only_where_it_is_known_to_be_nowhere() {
    let redis = RedisServer::start();
    let (one, two) = (mirror(&redis).await, mirror(&redis).await);
    let key = new_key("").id;
    let agents = [1, 2, 3].map(Uuid::from_u128);
    for agent in agents {
        join(&one, key, agent, 0);
    }
    settle(&[&one, &two]).await;
    let [here, elsewhere, gone] = agents;
    let here = HashSet::from([here]);
    let elsewhere = HashSet::from([elsewhere]);
    assert!(one.age(&here, None, LIMIT, at(DAY)).is_empty(), "not known");
    // Two find it at the same time; it is told once.
    for mirror in [&one, &two] {
        assert_eq!(mirror.age(&here, Some(&elsewhere), LIMIT, at(DAY)), [gone]);
    }
    assert_eq!((tells(&two).await, tells(&one).await), (1, 0));
    settle(&[&one, &two]).await;
    for mirror in [&one, &two, &mirror(&redis).await] {
        assert_eq!(known(mirror).len(), 2);
        assert_eq!(mirror.counts(key).ever, 2);
    }

    // Forgotten here, while it comes back there: it is there in the end, with
    // all that was known of it there.
    let (back, other) = (agents[1], new_key("").id);
    join(&two, other, back, 3 * DAY);
    assert_eq!(
        one.age(&here, Some(&HashSet::new()), LIMIT, at(3 * DAY)),
        [back]
    );
    two.flush().await.unwrap();
    one.flush().await.unwrap();
    two.follow(&connected_are(&[back])).await.unwrap();
    settle(&[&one, &two]).await;
    for mirror in [&one, &two, &mirror(&redis).await] {
        let (row, registrations) = mirror.agent(back).unwrap();
        assert_eq!((row.key, registrations.len()), (other, 2));
    }
}

#[tokio::test]
async fn a_registration_that_crosses_the_delete_of_its_key_goes() {
    let redis = RedisServer::start();
    let (one, two) = (mirror(&redis).await, mirror(&redis).await);
    let (key, other) = (new_key("").id, new_key("").id);
    let agent = Uuid::from_u128(1);
    join(&two, other, agent, 1);
    join(&two, key, agent, 2);
    one.forget_key(key).await.unwrap();
    two.flush().await.unwrap();
    settle(&[&one, &two]).await;
    for mirror in [&one, &two, &mirror(&redis).await] {
        let (_, registrations) = mirror.agent(agent).unwrap();
        let keys: Vec<_> = registrations.iter().map(|row| row.key).collect();
        assert_eq!(keys, [other]);
        assert_eq!(mirror.last_used(other), Some(at(1)));
    }
}

#[tokio::test]
async fn the_feed_tells_others_and_says_where_it_can_not() {
    let redis = RedisServer::start();
    let (one, two) = (redis.store(|_| {}).await, redis.store(|_| {}).await);
    let news = async |store: &RedisStore, after| store.news(after).await.unwrap().unwrap();
    let begin = news(&two, None).await;
    assert!(begin.whole && begin.is_last);
    let quiet = news(&two, Some(begin.cursor.clone())).await;
    assert!(!quiet.whole && quiet.is_last && quiet.cursor == begin.cursor);

    let key = new_key("").id;
    let registration = |agent| Registration {
        key,
        agent: Uuid::from_u128(agent),
        first_seen: at(1),
        last_seen: at(1),
        last_address: HERE,
        joins: 1,
    };
    let save = async |agents: std::ops::Range<u128>| {
        let batch = InstanceBatch {
            registrations: agents.map(registration).collect(),
            uses: vec![(key, at(5))],
            ..InstanceBatch::default()
        };
        one.save_instances(batch).await.unwrap();
    };
    // Nothing of its own, and from an empty feed on nothing can be sure.
    save(0..1).await;
    assert!(news(&two, Some(begin.cursor.clone())).await.whole);
    let start = news(&two, None).await.cursor;
    save(1..3).await;
    save(2..5).await;
    assert!(news(&one, Some(start.clone())).await.agents.is_empty());
    let told = news(&two, Some(start.clone())).await;
    let agents: Vec<_> = told
        .agents
        .iter()
        .map(|news| news.agent.as_u128())
        .collect();
    assert_eq!(agents, [1, 2, 3, 4]);
    assert_eq!(told.agents[0].registrations, [registration(1)]);
    assert!(told.agents.iter().all(|news| news.record.is_none()));
    assert_eq!(told.uses, [(key, at(5))]);
    assert!(told.is_last && told.forgotten_keys.is_empty());

    one.forget_registrations(key).await.unwrap();
    let gone = news(&two, Some(told.cursor)).await;
    assert_eq!(gone.forgotten_keys, [key]);

    // More than fits into one answer.
    let mut seen = Vec::new();
    for n in 0..20 {
        save(n..n + 1).await;
    }
    let mut cursor = gone.cursor;
    loop {
        let part = news(&two, Some(cursor)).await;
        seen.extend(part.agents.into_iter().map(|news| news.agent.as_u128()));
        cursor = part.cursor;
        if part.is_last {
            break;
        }
    }
    assert_eq!(seen, (0..20).collect::<Vec<_>>());

    // Trimmed beyond the cursor.
    let mut raw = redis.raw().await;
    let mut trim = redis::cmd("XTRIM");
    trim.arg("{muster}:instances:feed").arg("MAXLEN").arg(1);
    let () = trim.query_async(&mut raw).await.unwrap();
    assert!(!news(&two, Some(cursor.clone())).await.whole, "it has all");
    assert!(news(&two, Some(start)).await.whole);
    // Another history.
    let mut other = redis::cmd("HSET");
    other.arg("{muster}:meta").arg("replid").arg("of another");
    let () = other.query_async(&mut raw).await.unwrap();
    assert!(news(&two, Some(cursor)).await.whole);
}

/// Reading all again takes over and drops as the feed would have.
#[tokio::test]
async fn the_checker_finds_what_a_gap_hid() {
    let redis = RedisServer::start();
    let (one, two) = (mirror(&redis).await, mirror(&redis).await);
    let (key, deleted) = (new_key("").id, new_key("").id);
    let [stays, goes, comes, live] = [1, 2, 3, 4].map(Uuid::from_u128);
    for agent in [stays, goes, live] {
        join(&one, key, agent, 0);
        join(&one, deleted, agent, 1);
    }
    settle(&[&one, &two]).await;
    let store = redis.store(|_| {}).await;
    let batch = InstanceBatch {
        forgotten: vec![goes, live],
        ..InstanceBatch::default()
    };
    store.save_instances(batch).await.unwrap();
    one.forget_key(deleted).await.unwrap();
    join(&one, key, comes, 2);
    one.used(key, at(DAY));
    one.flush().await.unwrap();
    let mut raw = redis.raw().await;
    let () = redis::cmd("DEL")
        .arg("{muster}:instances:feed")
        .query_async(&mut raw)
        .await
        .unwrap();
    join(&two, key, Uuid::from_u128(5), 3);
    two.follow(&connected_are(&[live])).await.unwrap();
    let ids: Vec<_> = known(&two)
        .iter()
        .map(|(row, registrations)| (row.agent.as_u128(), registrations.len()))
        .collect();
    // The live one with all that it had: nobody told that its key is deleted.
    assert_eq!(ids, [(1, 1), (3, 1), (4, 2), (5, 1)]);
    settle(&[&two, &one]).await;
    assert_eq!(known(&one), known(&two));
    assert_eq!(known(&one), known(&mirror(&redis).await));
    assert_eq!(two.last_used(key), Some(at(DAY)));
    assert_eq!(two.counts(deleted).ever, 0, "one had not forgotten it");
}

/// A source of numbers that begins with a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

/// What an agent did, by key: first and last join, and how many.
type Joins = BTreeMap<KeyId, (i64, i64, u64)>;

#[tokio::test]
async fn registrations_of_all_gateways_converge_in_any_order() {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).unwrap();
    let seed = u64::from_ne_bytes(seed) | 1;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let redis = RedisServer::start();
    let mirrors = [
        mirror(&redis).await,
        mirror(&redis).await,
        mirror(&redis).await,
    ];
    let keys: [KeyId; 3] = std::array::from_fn(|_| new_key("").id);
    let (mut joins, mut reports) = (BTreeMap::<Uuid, Joins>::new(), BTreeMap::new());
    for turn in 0..600 {
        // Minutes apart, so that sights are noted.
        let now = turn * 11 * MINUTE;
        let on = &mirrors[dice.below(3)];
        let agent = Uuid::from_u128(dice.below(5) as u128);
        match dice.below(10) {
            0..3 => {
                let key = keys[dice.below(3)];
                join(on, key, agent, now);
                let of_agent = joins.entry(agent).or_default();
                let row = of_agent.entry(key).or_insert((now, now, 0));
                (row.1, row.2) = (now, row.2 + 1);
                reports.insert(agent, (key, now));
            }
            3 => {
                let before = on.agent(agent);
                let report = AgentReport {
                    hostname: now.to_string(),
                    ..AgentReport::default()
                };
                on.record_report(agent, report, at(now));
                if let Some((before, _)) = before {
                    reports.insert(agent, (before.key, now));
                }
            }
            4 => {
                on.age(&HashSet::from([agent]), None, LIMIT, at(now));
            }
            5..8 => on.flush().await.unwrap(),
            _ => follow(on).await,
        }
    }
    let [one, two, three] = &mirrors;
    settle(&[one, two, three]).await;
    let all = known(one);
    assert_eq!(all, known(two));
    assert_eq!(all, known(three));
    assert_eq!(all, known(&mirror(&redis).await));
    assert_eq!(all.len(), joins.len());
    for (row, registrations) in all {
        let (key, now) = reports[&row.agent];
        assert_eq!((row.key, row.hostname), (key, now.to_string()));
        assert_eq!(registrations.len(), joins[&row.agent].len());
        for registration in registrations {
            let (first, last, count) = joins[&row.agent][&registration.key];
            assert_eq!(registration.first_seen, at(first));
            assert_eq!(registration.last_seen, at(last));
            // Of two that nobody knew of each other one counts.
            assert!((1..=count).contains(&registration.joins));
        }
    }
    for key in keys {
        let counts = one.counts(key);
        let lasts = joins.values().filter_map(|of_agent| of_agent.get(&key));
        let last = lasts.map(|row| at(row.1)).max();
        for mirror in &mirrors {
            assert_eq!(mirror.counts(key), counts);
            assert_eq!(mirror.last_used(key), last);
        }
    }
}
