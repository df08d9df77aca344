//! The reads of a resync, under way while the feed is followed on.
//!
//! Owns: which keys are still to be read, and where the new feed is followed
//! meanwhile. Must not know: what is done with what is read.
//! Invariant: the position of the gateway moves once every key of it is read, or
//! set aside as unreadable.

use std::collections::VecDeque;

use tokio::task::JoinSet;

use crate::keys::{Epoch, KeyId, Position};
use crate::store::StoreError;

/// Keys in one read: a script that holds up all others for a millisecond.
const CHUNK: usize = 500;
/// Reads at once: many share a round trip.
const AT_ONCE: usize = 4;

/// A resync, or none.
#[derive(Default)]
pub(super) struct Reread {
    /// How far the new feed is followed; `None`: there is no resync.
    cursor: Option<Position>,
    waiting: VecDeque<KeyId>,
    reading: usize,
    /// Each says whether it was for keys of the resync.
    tasks: JoinSet<(bool, Read)>,
}

/// What a read of many keys came to.
#[derive(Default)]
pub(super) struct Read {
    /// Those that are to be read again.
    pub left: Vec<KeyId>,
    /// Why.
    pub error: Option<StoreError>,
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
    pub fn fill<R>(&mut self, read: impl Fn(Vec<KeyId>, Epoch) -> R)
    where
        R: Future<Output = Read> + Send + 'static,
    {
        let Some(Position { epoch, .. }) = self.cursor else {
            return;
        };
        while self.reading < AT_ONCE && !self.waiting.is_empty() {
            let chunk = self.waiting.drain(..CHUNK.min(self.waiting.len()));
            let read = read(chunk.collect(), epoch);
            self.reading += 1;
            self.tasks.spawn(async move { (true, read.await) });
        }
    }

    /// A read beside the resync, of keys that were set aside before.
    pub fn aside(&mut self, read: impl Future<Output = Read> + Send + 'static) {
        self.tasks.spawn(async move { (false, read.await) });
    }

    /// Waits for a read to end; for ever where there is none. What failed is read
    /// again when the caller fills next.
    pub async fn next(&mut self) -> Result<(), StoreError> {
        let Some(done) = self.tasks.join_next().await else {
            return std::future::pending().await;
        };
        // A read that panicked would leave its keys unread, and says so.
        let (is_of_resync, read) = done.map_err(|lost| StoreError::Failed(lost.to_string()))?;
        if is_of_resync {
            self.reading -= 1;
            self.waiting.extend(read.left);
        }
        read.error.map_or(Ok(()), Err)
    }
}
