//! Settings that all gateways of a store share. Transport-free: every interface
//! changes them through here.
//!
//! Owns: what is set, within which bounds, and the audit record of a change. Must
//! not know: gRPC, REST, what a setting does.
//! Invariant: an answer is what the store has now; there is no cache that could
//! let two gateways differ.

use std::sync::Arc;
use std::time::Duration;

use crate::control::audit::Actor;
use crate::control::error::{AdminError, ErrorKind};
use crate::store::{SettingStore, StoreError};

/// How the store calls it.
const CLEANUP: &str = "instance_cleanup";
/// Hours after which an agent is forgotten at the latest, if it is at all.
const MOST_HOURS: u32 = 720;
const HOUR: u64 = 3_600;

/// When agents that are not connected are forgotten, with their instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceCleanup {
    /// After this time; zero: never.
    pub after: Duration,
    /// It was set in the store; else it is what this gateway was started with.
    pub from_store: bool,
}

impl InstanceCleanup {
    /// In hours, of which a part counts as a whole one.
    pub fn hours(&self) -> u32 {
        u32::try_from(self.after.as_secs().div_ceil(HOUR)).unwrap_or(u32::MAX)
    }
}

/// Why a setting is not changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SettingsError {
    /// More hours than it may be.
    #[error("age_out_duration: {0} hours are too many; 0 (never) to {MOST_HOURS}")]
    TooLong(u32),
    /// The store failed. Whether it was written is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AdminError for SettingsError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLong(_) => ErrorKind::Invalid,
            Self::Store(error) => error.kind(),
        }
    }
}

/// The settings of a store.
#[derive(Clone)]
pub struct StoreSettings {
    store: Arc<dyn SettingStore>,
    forget_after: Duration,
}

impl StoreSettings {
    /// The settings of `store`; where nothing is set there, agents are forgotten
    /// after `forget_after`.
    pub fn new(store: Arc<dyn SettingStore>, forget_after: Duration) -> Self {
        Self {
            store,
            forget_after,
        }
    }

    /// When agents are forgotten.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn instance_cleanup(&self) -> Result<InstanceCleanup, StoreError> {
        let Some(text) = self.store.setting(CLEANUP).await? else {
            return Ok(InstanceCleanup {
                after: self.forget_after,
                from_store: false,
            });
        };
        let hours = text.parse().ok().filter(|hours| *hours <= MOST_HOURS);
        let hours = hours.ok_or_else(|| StoreError::Corrupt {
            what: format!("the setting {CLEANUP}"),
            why: format!("{text:?} is not 0 to {MOST_HOURS}; set it again"),
        })?;
        Ok(of_hours(hours))
    }

    /// Sets after how many hours they are, 0 to 720; 0: never.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub async fn set_instance_cleanup(
        &self,
        actor: &Actor,
        hours: u32,
    ) -> Result<InstanceCleanup, SettingsError> {
        actor.begin_target(CLEANUP, format!("{hours} h"));
        if hours > MOST_HOURS {
            return Err(SettingsError::TooLong(hours));
        }
        let before = self.store.set(CLEANUP, &hours.to_string()).await;
        let before = before.inspect_err(|error| actor.failed(error))?;
        let before = before.map_or_else(|| "not set".into(), |hours| format!("{hours} h"));
        actor.set_detail(format!("{before} -> {hours} h"));
        tracing::info!(
            target: "muster::audit",
            actor = actor.name(),
            action = "edit",
            setting = CLEANUP,
            "{before} -> {hours} h"
        );
        Ok(of_hours(hours))
    }

    /// Logs which counts, the store's or what this gateway was started with, where
    /// they differ.
    pub async fn tell_which_counts(&self) {
        match self.instance_cleanup().await {
            Ok(set) if set.after != self.forget_after => tracing::warn!(
                "agents are forgotten after {} h (0: never), as is set in the store; \
                 --forget-unavailable-after ({} s here) counts only where nothing is set there",
                set.hours(),
                self.forget_after.as_secs()
            ),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "no agent is forgotten until it can be read when they are to be");
            }
        }
    }
}

fn of_hours(hours: u32) -> InstanceCleanup {
    InstanceCleanup {
        after: Duration::from_secs(u64::from(hours) * HOUR),
        from_store: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::EmbeddedStore;

    #[tokio::test]
    async fn the_flag_counts_until_something_is_set_and_nonsense_is_no_number() {
        let store = Arc::new(EmbeddedStore::in_memory().unwrap());
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let settings = StoreSettings::new(store.clone(), minutes(90));
        let told = settings.instance_cleanup().await.unwrap();
        assert_eq!((told.after, told.from_store), (minutes(90), false));
        assert_eq!(told.hours(), 2);
        let actor = Actor::new(crate::control::audit::Origin {
            actor: "test".into(),
            from: String::new(),
            door: "rest",
        });
        let refused = settings.set_instance_cleanup(&actor, 721).await;
        assert!(matches!(refused, Err(SettingsError::TooLong(721))));
        for hours in [720, 0] {
            let set = settings.set_instance_cleanup(&actor, hours).await.unwrap();
            assert_eq!((set.hours(), set.from_store), (hours, true));
            assert_eq!(settings.instance_cleanup().await.unwrap(), set);
        }
        for nonsense in ["", "-1", "721", "1h"] {
            store.set(CLEANUP, nonsense).await.unwrap();
            let refused = settings.instance_cleanup().await;
            assert!(matches!(refused, Err(StoreError::Corrupt { .. })));
        }
    }
}
