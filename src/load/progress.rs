//! What a run tells while it goes on.

use std::sync::Arc;

use super::measure::Point;

/// What goes on.
#[derive(Debug)]
pub enum Progress {
    /// The scenario has come to another part.
    Phase(String),
    /// A second has passed.
    Second(Point),
}

/// Told what goes on; must not block.
pub type Watcher = Arc<dyn Fn(Progress) + Send + Sync>;
