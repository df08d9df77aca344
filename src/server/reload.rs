//! Files that are read again while the gateway runs: when asked to, and when they
//! have changed.
//!
//! Owns: when to look, and the alarm while a new file can't be used. Must not know:
//! what is in the files. Invariant: nothing that is in use is given up for what
//! can't be used, and no connection ends for a reload.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::enrol::RedisLogin;
use crate::metrics::registry::{Metrics, Setting};
use crate::net::certs::Certs;

/// Asks a gateway to read its files again now.
#[derive(Clone)]
pub struct ReloadHandle {
    asked: Arc<Notify>,
    metrics: Arc<Metrics>,
}

impl ReloadHandle {
    /// Looks at all files at once, and says what came of it.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Whether the configuration, which the caller read again, can't be used.
    pub fn config_failed(&self, failed: bool) {
        set_alarm(&self.metrics, "config", failed);
    }
}

/// The files of one gateway.
pub(super) struct Reload {
    pub certs: Arc<Certs>,
    /// Where the store is on Redis.
    pub redis: Option<Arc<RedisLogin>>,
    pub metrics: Arc<Metrics>,
    pub interval: Duration,
    pub asked: Arc<Notify>,
}

/// Whether there was something new, or whose file can't be used and why.
pub(super) type Look = Result<bool, (&'static str, String)>;

impl Reload {
    pub fn handle(&self) -> ReloadHandle {
        ReloadHandle {
            asked: Arc::clone(&self.asked),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// Looks until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut certificate = Watch::default();
        let mut login = Watch::default();
        loop {
            let wait = async {
                tokio::select! {
                    () = tokio::time::sleep(self.interval) => false,
                    () = self.asked.notified() => true,
                }
            };
            let Some(asked) = stop.run_until_cancelled(wait).await else {
                return;
            };
            let certs = Arc::clone(&self.certs);
            let look = move || certs.reread_own().map_err(|e| ("tls-cert", e.to_string()));
            self.judge(&mut certificate, in_background(look).await, asked);
            if let Some(redis) = self.redis.clone() {
                let look = move || redis.reread();
                self.judge(&mut login, in_background(look).await, asked);
            }
            if asked {
                tracing::info!("the files were read again");
            }
        }
    }

    fn judge(&self, watch: &mut Watch, look: Look, asked: bool) {
        for alarm in watch.judge(look, asked) {
            set_alarm(&self.metrics, alarm.setting, alarm.on);
        }
    }
}

fn set_alarm(metrics: &Metrics, setting: &'static str, on: bool) {
    let gauge = metrics.reload_failed.get_or_create(&Setting { setting });
    gauge.set(i64::from(on));
}

async fn in_background(look: impl FnOnce() -> Look + Send + 'static) -> Look {
    let looked = tokio::task::spawn_blocking(look).await;
    looked.unwrap_or_else(|error| Err(("tls-cert", format!("the look was lost: {error}"))))
}

/// What the looks at one set of files have found.
#[derive(Default)]
struct Watch {
    failing: Option<Failing>,
}

struct Failing {
    setting: &'static str,
    why: String,
    told: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Alarm {
    setting: &'static str,
    on: bool,
}

impl Watch {
    /// Who replaces two files one after the other is given a second look; who asks is
    /// answered at once.
    fn judge(&mut self, look: Look, asked: bool) -> Vec<Alarm> {
        let before = self.failing.take();
        let mut alarms = Vec::new();
        match look {
            Ok(taken) => {
                if let Some(before) = before.filter(|before| before.told) {
                    tracing::info!(setting = before.setting, "its file can be used again");
                    alarms.push(Alarm {
                        setting: before.setting,
                        on: false,
                    });
                }
                if taken {
                    tracing::info!("files have changed; what they hold now is used from here on");
                }
            }
            Err((setting, why)) => {
                let same = before.as_ref().is_some_and(|b| b.why == why && b.told);
                let told = same || asked || before.is_some();
                if let Some(before) = before.filter(|b| b.told && b.setting != setting) {
                    alarms.push(Alarm {
                        setting: before.setting,
                        on: false,
                    });
                }
                if told && !same {
                    tracing::error!(
                        setting,
                        error = %why,
                        "what its file holds now can't be used; what it held before is used on"
                    );
                    alarms.push(Alarm { setting, on: true });
                }
                self.failing = Some(Failing { setting, why, told });
            }
        }
        alarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(setting: &'static str) -> Alarm {
        Alarm { setting, on: true }
    }

    fn off(setting: &'static str) -> Alarm {
        Alarm { setting, on: false }
    }

    #[test]
    fn a_pair_that_is_being_replaced_is_no_alarm_and_a_bad_file_is_one() {
        let mut watch = Watch::default();
        let bad = |why: &str| Err(("a", why.to_owned()));
        assert_eq!(watch.judge(bad("half"), false), []);
        assert_eq!(watch.judge(Ok(true), false), []);

        assert_eq!(watch.judge(bad("x"), false), []);
        assert_eq!(watch.judge(bad("x"), false), [on("a")]);
        assert_eq!(watch.judge(bad("x"), false), [], "it was told");
        assert_eq!(watch.judge(bad("y"), false), [on("a")]);
        let other = Err(("b", "z".to_owned()));
        assert_eq!(watch.judge(other, false), [off("a"), on("b")]);
        assert_eq!(watch.judge(Ok(false), false), [off("b")]);
        assert_eq!(
            watch.judge(bad("x"), true),
            [on("a")],
            "who asks is answered"
        );
    }
}
