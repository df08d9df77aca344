//! The actor of a call, and what the call did, for the audit trail.

use parking_lot::Mutex;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Action, Audit, Origin};
use crate::store::{AuditResult, StoreError};

/// The maker of a change. What is done in its name is noted on it on the way, and
/// read where the call came in. Clones are one.
#[derive(Debug, Clone)]
pub struct Actor {
    origin: Arc<Origin>,
    parts: Arc<Mutex<Vec<Part>>>,
    /// Something of it is in the trail already.
    is_noted: Arc<AtomicBool>,
}

/// One thing of those that a call does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub target: String,
    pub detail: String,
    /// How it went, and why; `None`: as the whole call.
    pub end: Option<(AuditResult, Option<String>)>,
}

impl Actor {
    /// An actor with that origin.
    pub fn new(origin: Origin) -> Self {
        Self {
            origin: Arc::new(origin),
            parts: Arc::default(),
            is_noted: Arc::default(),
        }
    }

    /// Its name in logs and in the trail.
    pub fn name(&self) -> &str {
        &self.origin.actor
    }

    /// Where it comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What is done from now on is done to that.
    pub fn begin_target(&self, target: impl Display, detail: impl Into<String>) {
        self.parts.lock().push(Part {
            target: target.to_string(),
            detail: detail.into(),
            end: None,
        });
    }

    /// What the last thing done was, where that is known once it is done.
    pub fn set_detail(&self, detail: impl Into<String>) {
        if let Some(part) = self.parts.lock().last_mut() {
            part.detail = detail.into();
        }
    }

    /// How the last of several ended.
    pub fn set_result(&self, result: AuditResult, reason: Option<String>) {
        if let Some(part) = self.parts.lock().last_mut() {
            part.end = Some((result, reason));
        }
    }

    /// One of several was refused before anything was done to it.
    pub fn refused(&self, target: impl Display, reason: impl Into<String>) {
        self.begin_target(target, "");
        self.set_result(AuditResult::Refused, Some(reason.into()));
    }

    /// The store failed at the last thing: whether that was done may be open.
    pub fn failed(&self, error: &StoreError) {
        let result = match error {
            StoreError::Failed(_) => AuditResult::Unknown,
            StoreError::NotWritten(_)
            | StoreError::NoWrites(_)
            | StoreError::Corrupt { .. }
            | StoreError::Foreign(_) => AuditResult::Failed,
        };
        self.set_result(result, Some(error.to_string()));
    }

    /// Notes the last thing done at once: what follows of the call may take long, or
    /// be cut off. As `Ok`, unless its result was set.
    pub fn note_now(&self, trail: &Audit, action: &'static str) {
        let Some(part) = self.parts.lock().pop() else {
            return;
        };
        self.is_noted.store(true, Ordering::Relaxed);
        let (result, reason) = part.end.unwrap_or((AuditResult::Ok, None));
        let action = Action {
            name: action,
            target: Some(part.target),
            detail: part.detail,
            result,
            reason,
        };
        trail.queue(&self.origin, action);
    }

    /// Whether something was noted by [`Self::note_now`].
    pub fn is_noted(&self) -> bool {
        self.is_noted.load(Ordering::Relaxed)
    }

    /// All that was done and is not noted yet.
    pub fn take_targets(&self) -> Vec<Part> {
        std::mem::take(&mut *self.parts.lock())
    }
}
