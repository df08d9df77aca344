//! Faults of this process itself: log lines that nobody got, tasks that panicked.
//! Counted for the whole process, as there is one log and one panic hook.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static LINES_LOST: AtomicU64 = AtomicU64::new(0);
static PANICS: AtomicU64 = AtomicU64::new(0);
static LINES_DROPPED: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>> = OnceLock::new();

/// A line of the log could not be written.
pub fn log_line_lost() {
    LINES_LOST.fetch_add(1, Ordering::Relaxed);
}

/// Also counts the lines that `dropped` knows of. Said once; a second time changes
/// nothing.
pub fn watch_dropped_lines(dropped: impl Fn() -> u64 + Send + Sync + 'static) {
    let _ = LINES_DROPPED.set(Box::new(dropped));
}

/// Lines of the log that are lost.
pub fn log_lines_lost() -> u64 {
    let dropped = LINES_DROPPED.get().map_or(0, |dropped| dropped());
    LINES_LOST.load(Ordering::Relaxed).saturating_add(dropped)
}

/// A task panicked.
pub fn panicked() {
    PANICS.fetch_add(1, Ordering::Relaxed);
}

/// How many did.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}
