//! What Redis's replicas have: of a change, and of the master's writes at all.
//!
//! Owns: how many replicas make a change durable, and whether a master that is
//! cut off stops by itself. Must not know: what a change is.
//! Invariant: replicas are asked on the connection that the change went over:
//! on another one `WAIT` answers for other writes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{RedisError, cmd};
use tokio::sync::Mutex;

use super::connection::Link;
use super::info::field;
use crate::store::keys::Durability;

/// Where `min_slaves_good_slaves` is missing from `INFO replication`.
const UNPROTECTED: &str = "a Redis master that is cut off from its replicas would go on to take \
    changes, which the failover loses; on each of its servers set min-replicas-to-write 1 and \
    min-replicas-max-lag 10 (redis-cli: CONFIG SET of both, then CONFIG REWRITE)";

/// Replicas that are well answer within it.
const BRIEF: Duration = Duration::from_millis(10);

/// How changes get to replicas.
pub(super) struct Replicas {
    wanted: Option<u32>,
    deadline: Duration,
    /// By Sentinel: then there have to be replicas.
    is_watched: bool,
    /// This process has seen the master with a replica.
    seen: AtomicBool,
    asked: AtomicU64,
    last: Mutex<Wait>,
}

/// One `WAIT`.
#[derive(Default)]
struct Wait {
    /// All callers up to then were waited for.
    asked: u64,
    connection: u64,
    /// That one: for a caller that wrote over it and asks after it was retired.
    open: Option<MultiplexedConnection>,
    acknowledged: u32,
}

impl Replicas {
    pub fn new(wanted: Option<u32>, deadline: Duration, is_watched: bool) -> Self {
        Self {
            wanted,
            deadline,
            is_watched,
            seen: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            last: Mutex::default(),
        }
    }

    /// Takes in the master's `INFO replication`. Returns what has to be changed
    /// in how it is set up, in words.
    pub fn observe(&self, info: &str) -> Option<String> {
        if field(info, "connected_slaves").is_some_and(|count| count != "0") {
            self.seen.store(true, Ordering::Relaxed);
        }
        // Redis prints it where both settings are there, and only then.
        let stops = field(info, "min_slaves_good_slaves").is_some();
        (self.is_watched && !stops).then(|| UNPROTECTED.to_owned())
    }

    fn wanted(&self) -> u32 {
        let there_are_some = self.is_watched || self.seen.load(Ordering::Relaxed);
        self.wanted.unwrap_or(u32::from(there_are_some))
    }

    /// Waits, within the deadline, for replicas to have all that was written
    /// over this connection. Callers that ask while one waits share the next wait.
    pub async fn settle(&self, link: &Link, connection: u64) -> Durability {
        let wanted = self.wanted();
        let settled = |acknowledged| Durability {
            acknowledged,
            wanted,
        };
        if wanted == 0 {
            return settled(0);
        }
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if last.asked >= mine && last.connection == connection {
            return settled(last.acknowledged);
        }
        let asked = self.asked.load(Ordering::SeqCst);
        let retired = last.open.take().filter(|_| last.connection == connection);
        let Some(open) = link.numbered(connection).await.or(retired) else {
            tracing::debug!("the connection of a change was lost: its replicas are unknown");
            return settled(0);
        };
        let acknowledged = match self.wait(link, connection, &open, wanted).await {
            Ok(acknowledged) => acknowledged,
            Err(error) => {
                tracing::debug!(%error, "whether a replica has a change is not known");
                link.retire(connection).await;
                0
            }
        };
        *last = Wait {
            asked,
            connection,
            open: Some(open),
            acknowledged,
        };
        settled(acknowledged)
    }

    /// Other changes come behind a wait on the same connection: so it is brief
    /// at first, and the rest of it is waited when no more come.
    async fn wait(
        &self,
        link: &Link,
        connection: u64,
        open: &MultiplexedConnection,
        wanted: u32,
    ) -> Result<u32, RedisError> {
        let ask = async |time: Duration| -> Result<u32, RedisError> {
            let mut wait = cmd("WAIT");
            // 0 would be for ever.
            wait.arg(wanted).arg(time.as_millis().max(1) as u64);
            wait.query_async(&mut open.clone()).await
        };
        let begun = Instant::now();
        let acknowledged = ask(BRIEF.min(self.deadline)).await?;
        let left = self.deadline.saturating_sub(begun.elapsed());
        if acknowledged >= wanted || left.is_zero() {
            return Ok(acknowledged);
        }
        link.retire(connection).await;
        ask(left).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: &str = "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n";
    const SAFE: &str = "role:master\r\nconnected_slaves:2\r\nmin_slaves_good_slaves:2\r\n";

    #[test]
    fn one_replica_is_wanted_where_there_are_any() {
        let replicas = |wanted, is_watched| Replicas::new(wanted, Duration::ZERO, is_watched);
        let plain = replicas(None, false);
        plain.observe(ALONE);
        assert_eq!(plain.wanted(), 0);
        plain.observe(SAFE);
        plain.observe(ALONE);
        assert_eq!(plain.wanted(), 1, "once there was one");
        assert_eq!(replicas(None, true).wanted(), 1);
        assert_eq!(replicas(Some(0), true).wanted(), 0);
        assert_eq!(replicas(Some(2), false).wanted(), 2);
    }

    #[test]
    fn only_with_sentinel_a_master_has_to_stop_by_itself() {
        let watched = Replicas::new(None, Duration::ZERO, true);
        assert!(watched.observe(ALONE).is_some());
        assert_eq!(watched.observe(SAFE), None);
        let plain = Replicas::new(None, Duration::ZERO, false);
        assert_eq!(plain.observe(ALONE), None);
    }
}
