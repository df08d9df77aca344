//! How long the real binary takes from its spawn to ready, over a store with many
//! keys and over one with few.
//!
//! Owns: temporary folders, a Redis of its own where `redis-server` is installed,
//! and the gateways over them; all of it ends with this process, also by a panic
//! or a signal. Stores are filled through `KeyStore`, key by key, which takes
//! minutes and is not measured. Goal: ready within 1 s, whatever the store holds.
//!
//! `cargo bench --bench start` takes 1,000,000 keys; `-- N`, `MUSTER_BENCH_KEYS=N`
//! or `-- --quick` (10,000) another number.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "start/place.rs"]
mod place;
#[path = "start/redis_server.rs"]
mod redis_server;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use muster::keys::{KeyId, Kind, mint};
use muster::store::{KeyStore, NewKey};
use place::Place;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

const MANY: u64 = 1_000_000;
const QUICK: u64 = 10_000;
const FEW: u64 = 10;
/// Measured starts of each store.
const STARTS: usize = 5;
/// Keys on their way to a store at once. Both stores write one after the other:
/// more would only be decided anew on Redis.
const WRITERS: u64 = 4;
/// A start, a stop or an answer that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks whether it is ready: what a result may be too long by.
const LOOK: Duration = Duration::from_millis(1);

/// Creates so many keys, and returns the first and the last.
async fn fill(name: &str, store: Arc<dyn KeyStore>, keys: u64) -> Vec<KeyId> {
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        let name = name.to_owned();
        writers.spawn(async move {
            let mut ends = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= keys {
                    return ends;
                }
                let minted = mint(Kind::DataPlaneKey).unwrap();
                let new = NewKey {
                    id: KeyId(minted.id),
                    digest: minted.digest,
                    name: format!("key {number}"),
                    expires_at: None,
                };
                let key = store.create(new).await.unwrap().change.change.key();
                if number == 0 || number + 1 == keys {
                    ends.push(key);
                }
                let made = number + 1;
                if made.is_multiple_of((keys / 10).max(QUICK)) {
                    eprintln!("{name}: {made} keys after {:.1?}", begun.elapsed());
                }
            }
        });
    }
    let ends = writers.join_all().await.concat();
    println!("{name}: filled with {keys} keys in {:.1?}", begun.elapsed());
    ends
}

async fn measure(keys: u64) {
    // On a disk the fsync of each key would take most of the filling.
    let root = tempfile::tempdir_in("/dev/shm");
    let on = if root.is_ok() { "" } else { " not" };
    println!("embedded: its files are{on} in memory (/dev/shm)");
    let root = root.or_else(|_| tempfile::tempdir()).unwrap();
    let mut places = vec![
        Place::embedded(root.path(), keys).await,
        Place::embedded(root.path(), FEW).await,
    ];
    for keys in [keys, FEW] {
        places.extend(Place::redis(root.path(), keys).await);
    }
    for place in &places {
        // Certificates and tokens are made once.
        place.start().await;
    }
    let mut results = vec![Vec::new(); places.len()];
    // In turn: a machine that changes its speed meanwhile does so for all.
    for _ in 0..STARTS {
        for (place, results) in places.iter().zip(&mut results) {
            results.push(place.start().await);
        }
    }
    println!("\nready after (ms), {STARTS} starts each, and what was resident then:");
    println!("store           keys    median     least      most  resident MiB");
    for (place, mut results) in places.iter().zip(results) {
        results.sort_unstable();
        let ms = |at: usize| results[at].0.as_secs_f64() * 1e3;
        let mut resident: Vec<u64> = results.iter().map(|(_, bytes)| *bytes).collect();
        resident.sort_unstable();
        println!(
            "{:<10}{:>10}{:>10.1}{:>10.1}{:>10.1}{:>14.1}",
            place.store,
            place.keys,
            ms(STARTS / 2),
            ms(0),
            ms(STARTS - 1),
            resident[STARTS / 2] as f64 / 1024.0 / 1024.0
        );
    }
    if places.iter().all(|place| place.store != "redis") {
        println!("redis: LEFT OUT, there is no redis-server in PATH");
    }
}

/// How many keys; none where something else is to be measured.
fn keys_wanted() -> Option<u64> {
    let (flags, words): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|arg| arg.starts_with('-'));
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    if let Some(word) = words.first() {
        return word.parse().ok();
    }
    // As a test it has to run, not to measure.
    if has("--quick") || !has("--bench") {
        return Some(QUICK);
    }
    let set = std::env::var("MUSTER_BENCH_KEYS").ok();
    Some(set.map_or(MANY, |set| {
        set.parse().expect("MUSTER_BENCH_KEYS: a number")
    }))
}

fn main() -> ExitCode {
    let Some(keys) = keys_wanted() else {
        return ExitCode::SUCCESS;
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut term = signal(SignalKind::terminate()).unwrap();
        // A signal drops what is measured, as a panic does, and all with it.
        tokio::select! {
            () = measure(keys) => ExitCode::SUCCESS,
            _ = tokio::signal::ctrl_c() => ExitCode::FAILURE,
            _ = term.recv() => ExitCode::FAILURE,
        }
    })
}
