//! The reads of a resync, under way while the feed is followed on.
//!
//! Owns: which keys are still to be read, and where the new feed is followed
//! meanwhile. Must not know: what is done with what is read.
//! Invariant: the position of the gateway moves once every key of it is read, or
//! set aside as unreadable.

use std::collections::{HashMap, VecDeque};

use tokio::task::{Id, JoinSet};

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
    /// The keys of each read of the resync that is under way.
    reading: HashMap<Id, Vec<KeyId>>,
    tasks: JoinSet<Read>,
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
        let is_done = self.waiting.is_empty() && self.reading.is_empty();
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
        while self.reading.len() < AT_ONCE && !self.waiting.is_empty() {
            let chunk = self.waiting.drain(..CHUNK.min(self.waiting.len()));
            let chunk: Vec<_> = chunk.collect();
            let task = self.tasks.spawn(read(chunk.clone(), epoch));
            self.reading.insert(task.id(), chunk);
        }
    }

    /// A read beside the resync, of keys that were set aside before.
    pub fn aside(&mut self, read: impl Future<Output = Read> + Send + 'static) {
        self.tasks.spawn(read);
    }

    /// Waits for a read to end; for ever where there is none. What failed is read
    /// again when the caller fills next.
    pub async fn next(&mut self) -> Result<(), StoreError> {
        let Some(done) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let (task, read) = match done {
            Ok((task, read)) => (task, Ok(read)),
            Err(lost) => (lost.id(), Err(lost)),
        };
        let keys = self.reading.remove(&task);
        let read = read.map_err(|lost| {
            // A read that panicked: its keys are read again.
            self.waiting.extend(keys.clone().unwrap_or_default());
            StoreError::Failed(lost.to_string())
        })?;
        if keys.is_some() {
            self.waiting.extend(read.left);
        }
        read.error.map_or(Ok(()), Err)
    }
}
