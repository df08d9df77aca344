//! Progress of a run.

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

/// Gets the progress; must not block.
pub type Watcher = Arc<dyn Fn(Progress) + Send + Sync>;
