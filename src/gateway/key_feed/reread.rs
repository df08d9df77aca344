//! The reads of a resync, under way while the feed is followed on.
//!
//! Owns: which keys are still to be read, and where the new feed is followed
//! meanwhile. Must not know: what is done with what is read.
//! Invariant: the position of the gateway moves once every key of it is read, or
//! set aside as unreadable.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::task::JoinSet;

use super::KeyFeedFollower;
use crate::keys::{Epoch, KeyId, Position};
use crate::store::StoreError;

/// Keys in one read: a script that holds up all others for a millisecond.
const CHUNK: usize = 500;
/// Reads at once: many share a round trip.
const AT_ONCE: usize = 4;
/// Keys settled at once: where the store lost their ends, each is a write.
const SETTLED_AT_ONCE: usize = 64;

/// A resync, or none.
#[derive(Default)]
pub(super) struct Reread {
    /// How far the new feed is followed; `None`: there is no resync.
    cursor: Option<Position>,
    waiting: VecDeque<KeyId>,
    reading: usize,
    tasks: JoinSet<Done>,
}

/// A read that ended.
struct Done {
    /// Those that are to be read again.
    left: Vec<KeyId>,
    /// It was for keys of the resync, not for ones that were set aside before.
    is_of_resync: bool,
    error: Option<StoreError>,
}

impl Reread {
    /// Begins a resync, in place of one that is under way.
    pub fn begin(&mut self, cursor: Position, known: Vec<KeyId>) {
        *self = Self {
            cursor: Some(cursor),
            waiting: known.into(),
            ..Self::default()
        };
    }

    /// How far the new feed is followed during a resync.
    pub fn cursor(&self) -> Option<Position> {
        self.cursor
    }

    /// All up to there is applied from the new feed.
    pub fn advance(&mut self, to: Position) {
        self.cursor = Some(to);
    }

    /// Where the gateway stands if the resync has read all; it is over then.
    pub fn finish(&mut self) -> Option<Position> {
        let is_done = self.waiting.is_empty() && self.reading == 0;
        self.cursor.take_if(|_| is_done)
    }

    /// Begins as many reads as may be under way.
    pub fn fill(&mut self, follower: &Arc<KeyFeedFollower>) {
        let Some(Position { epoch, .. }) = self.cursor else {
            return;
        };
        while self.reading < AT_ONCE && !self.waiting.is_empty() {
            let chunk = self
                .waiting
                .drain(..CHUNK.min(self.waiting.len()))
                .collect();
            self.reading += 1;
            self.tasks
                .spawn(read(Arc::clone(follower), chunk, epoch, true));
        }
    }

    /// Reads keys again that were set aside.
    pub fn again(&mut self, follower: &Arc<KeyFeedFollower>, keys: Vec<KeyId>, epoch: Epoch) {
        if !keys.is_empty() {
            self.tasks
                .spawn(read(Arc::clone(follower), keys, epoch, false));
        }
    }

    /// Waits for a read to end; for ever where there is none. What failed is read
    /// again when the caller fills next.
    pub async fn next(&mut self) -> Result<(), StoreError> {
        let Some(done) = self.tasks.join_next().await else {
            return std::future::pending().await;
        };
        // A read that panicked would leave its keys unread, and says so.
        let done = done.map_err(|lost| StoreError::Failed(lost.to_string()))?;
        if done.is_of_resync {
            self.reading -= 1;
            self.waiting.extend(done.left);
        }
        done.error.map_or(Ok(()), Err)
    }
}

async fn read(
    follower: Arc<KeyFeedFollower>,
    keys: Vec<KeyId>,
    epoch: Epoch,
    is_of_resync: bool,
) -> Done {
    let failed = |left, error| Done {
        left,
        is_of_resync,
        error: Some(error),
    };
    let loaded = match follower.store.load_all(&keys).await {
        Ok(loaded) if loaded.epoch == epoch => loaded,
        // The next heartbeat shows it, too.
        Ok(_) => {
            let why = "the store began another history while keys were read again";
            return failed(keys, StoreError::Failed(why.into()));
        }
        Err(error) => return failed(keys, error),
    };
    let settled = stream::iter(loaded.keys).map(|(key, found)| {
        let follower = &follower;
        async move { (key, follower.settle(key, found, epoch).await) }
    });
    let mut settled = settled.buffer_unordered(SETTLED_AT_ONCE);
    let (mut left, mut error) = (Vec::new(), None);
    while let Some((key, result)) = settled.next().await {
        if let Err(failure) = result {
            left.push(key);
            error = Some(failure);
        }
    }
    Done {
        left,
        is_of_resync,
        error,
    }
}
