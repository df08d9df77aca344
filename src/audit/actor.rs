//! Who makes a call, and what came of it for the audit trail.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::DeedResult;

/// Who makes a change. What is done in his name is noted on it on the way, and
/// read by the door that he came in by. Clones are one.
#[derive(Debug, Clone)]
pub struct Actor {
    name: Arc<str>,
    parts: Arc<Mutex<Vec<Part>>>,
}

/// One thing of those that a call does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// An id.
    pub target: String,
    /// In words.
    pub detail: String,
    /// How it went, and why; `None`: as the whole call.
    pub end: Option<(DeedResult, Option<String>)>,
}

impl Actor {
    /// By the token's name and id.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            parts: Arc::default(),
        }
    }

    /// As logs and the trail name him.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is done from now on is done to that.
    pub fn on(&self, target: impl Display, detail: impl Into<String>) {
        self.parts().push(Part {
            target: target.to_string(),
            detail: detail.into(),
            end: None,
        });
    }

    /// How the last of several ended.
    pub fn ended(&self, result: DeedResult, reason: Option<String>) {
        if let Some(part) = self.parts().last_mut() {
            part.end = Some((result, reason));
        }
    }

    /// All that was done.
    pub fn take_parts(&self) -> Vec<Part> {
        std::mem::take(&mut *self.parts())
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
