//! Agents and operators at three gateways while faults come and go, and the
//! checker over what they were told.
//!
//! `MUSTER_HISTORY_SECONDS` says how long (30; `tests/run` gives 300),
//! `MUSTER_SEED` repeats a run's choices.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::check::{Answer, Bounds, check};
use super::nemesis::{Cluster, Dice};
use super::record::{Door, Key, Recorder};
use crate::support::eventually;

/// What a busy machine may add to a bound.
const MARGIN: Duration = Duration::from_secs(5);
/// Strict, with the bounds of SHORT: 2 s, and 1 s to spread the ends.
const BOUNDS: Bounds = Bounds {
    joins: Duration::from_secs(2).saturating_add(MARGIN),
    sessions: Duration::from_secs(3).saturating_add(MARGIN),
};
const AGENTS: u64 = 6;
/// Keys that agents use at a time, revoked ones among them.
const KEYS: usize = 24;

/// The keys: those in use, all that ever were, and those nobody tried to revoke.
#[derive(Default)]
struct Pool {
    all: Vec<Key>,
    good: Vec<Key>,
}

type Shared = Arc<Mutex<Pool>>;

async fn agent(
    seed: u64,
    recorder: Arc<Recorder>,
    doors: Vec<Arc<Door>>,
    pool: Shared,
    stop: watch::Receiver<bool>,
) {
    let mut dice = Dice(seed);
    while !*stop.borrow() {
        tokio::time::sleep(dice.millis(30, 120)).await;
        let key = {
            let pool = pool.lock().unwrap();
            let recent = &pool.all[pool.all.len().saturating_sub(KEYS)..];
            dice.one_of(recent).clone()
        };
        let door = dice.one_of(&doors);
        if recorder.join(door, &key).await == Answer::Yes && dice.below(3) == 0 {
            let stay = dice.millis(100, 20_000);
            recorder.subscribe(door, &key, stay).await;
        }
    }
}

async fn operator(
    seed: u64,
    recorder: Arc<Recorder>,
    doors: Vec<Arc<Door>>,
    pool: Shared,
    stop: watch::Receiver<bool>,
) {
    let mut dice = Dice(seed);
    while !*stop.borrow() {
        tokio::time::sleep(dice.millis(50, 250)).await;
        let door = dice.one_of(&doors);
        let good = pool.lock().unwrap().good.clone();
        match dice.below(10) {
            0..4 if good.len() < KEYS / 2 => {
                if let Some(key) = recorder.create(door).await {
                    let mut pool = pool.lock().unwrap();
                    pool.all.push(key.clone());
                    pool.good.push(key);
                }
            }
            0..7 if good.len() > 2 => {
                let key = dice.one_of(&good).clone();
                pool.lock().unwrap().good.retain(|k| k.number != key.number);
                let wait = dice.millis(10, 1_000);
                let answer = recorder.revoke(door, &key, wait).await;
                if answer == Answer::Yes && dice.below(4) == 0 {
                    recorder.delete(door, &key).await;
                }
            }
            _ => recorder.edit(door, dice.one_of(&good)).await,
        }
    }
}

/// Every key looked at and tried on every gateway, now that all is well: with
/// good ones agents get in.
async fn look_at_all(recorder: &Recorder, doors: &[Arc<Door>], pool: &Pool) {
    for door in doors {
        for key in &pool.all {
            recorder.read(door, key).await;
            recorder.join(door, key).await;
        }
        for key in &pool.good {
            eventually("a good key opens", async || {
                recorder.join(door, key).await == Answer::Yes
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_invariant_breaks_under_a_random_mix_of_faults() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let lasts = Duration::from_secs(number("MUSTER_HISTORY_SECONDS").unwrap_or(30));
    let seed = number("MUSTER_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).unwrap();
        u32::from_ne_bytes(bytes).into()
    });
    println!("history: {} s with MUSTER_SEED={seed}", lasts.as_secs());

    let mut cluster = Cluster::start().await;
    let (recorder, doors) = (Recorder::new(), cluster.doors());
    let pool = Shared::default();
    while pool.lock().unwrap().all.len() < KEYS / 3 {
        let Some(key) = recorder.create(&doors[0]).await else {
            continue;
        };
        let mut pool = pool.lock().unwrap();
        pool.all.push(key.clone());
        pool.good.push(key);
    }
    let (stop, stopped) = watch::channel(false);
    let mut people = JoinSet::new();
    let next = |n: u64| {
        let (recorder, doors) = (Arc::clone(&recorder), doors.clone());
        (
            seed.wrapping_add(n),
            recorder,
            doors,
            Arc::clone(&pool),
            stopped.clone(),
        )
    };
    for n in 1..=AGENTS {
        let (seed, recorder, doors, pool, stop) = next(n);
        people.spawn(agent(seed, recorder, doors, pool, stop));
    }
    for n in AGENTS + 1..=AGENTS + 2 {
        let (seed, recorder, doors, pool, stop) = next(n);
        people.spawn(operator(seed, recorder, doors, pool, stop));
    }
    let (mut dice, begun) = (Dice(seed), Instant::now());
    while begun.elapsed() < lasts {
        tokio::time::sleep(dice.millis(300, 1_500)).await;
        cluster.strike(&mut dice).await;
    }
    stop.send_replace(true);
    people.join_all().await;
    cluster.settled().await;
    // From here on no bound excuses anything.
    tokio::time::sleep(BOUNDS.sessions).await;
    let pool = std::mem::take(&mut *pool.lock().unwrap());
    look_at_all(&recorder, &doors, &pool).await;

    let history = recorder.history();
    recorder.leave();
    let violations = check(&history, BOUNDS);
    println!(
        "history: {} operations ({}); faults {:?}; violations {} (MUSTER_SEED={seed})",
        history.len(),
        recorder.summary(),
        cluster.faults,
        violations.len()
    );
    for violation in violations.iter().take(10) {
        let Some(key) = pool
            .all
            .iter()
            .find(|key| key.number == violation.entry.key)
        else {
            continue;
        };
        println!("{:?} of {}: {:?}", violation.of, key.id, violation.entry);
        for entry in history.iter().filter(|entry| entry.key == key.number) {
            println!("    {entry:?}");
        }
    }
    assert!(
        violations.is_empty(),
        "seed {seed}: {} violations",
        violations.len()
    );
}
