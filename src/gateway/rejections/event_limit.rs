//! New groups of refusals as events, a bounded number a minute.

use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Group;
use crate::gateway::events::Events;
use crate::store::EventKind;

/// Events noted in one [`WINDOW`]. Strangers make up ids and come from many
/// addresses: unbounded, they would drive all else out of the last 10,000.
const TOLD: u32 = 30;
const WINDOW: Duration = Duration::from_secs(60);

pub(super) struct Telling {
    events: Arc<Events>,
    window: Mutex<Window>,
}

struct Window {
    since: Instant,
    told: u32,
    untold: u64,
}

impl Telling {
    pub fn new(events: Arc<Events>) -> Self {
        Self {
            events,
            window: Mutex::new(Window {
                since: Instant::now(),
                told: 0,
                untold: 0,
            }),
        }
    }

    pub fn tell(&self, group: &Group) {
        let Some(untold) = self.turn() else { return };
        let mut detail = format!("{} from {}", group.reason.as_str(), group.address);
        if untold > 0 {
            detail += &format!("; {untold} more kinds before it: `muster rejections list`");
        }
        self.events
            .note(EventKind::Rejected, group.key, group.agent, detail);
    }

    /// How many went untold before this one; `None`: it goes untold, too.
    fn turn(&self) -> Option<u64> {
        let mut window = self.window.lock();
        if window.since.elapsed() >= WINDOW {
            window.since = Instant::now();
            window.told = 0;
        }
        if window.told >= TOLD {
            window.untold += 1;
            return None;
        }
        window.told += 1;
        Some(std::mem::take(&mut window.untold))
    }
}

impl fmt::Debug for Telling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telling")
    }
}
