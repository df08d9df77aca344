//! The store, and the settings that belong to it.

use secrecy::ExposeSecret;

use crate::server::config::settings::Settings;
use crate::server::config::store::{StoreConfig, StorePlace};
use crate::store::redis::RedisUrl;

const EMBEDDED: &str = "embedded";
/// The prefix is a part of every name in Redis.
const LONGEST_PREFIX: usize = 64;

/// Reads the store and checks what belongs to it; `fault` gets each setting that
/// is wrong, and why.
pub(super) fn check(
    settings: &Settings,
    config: &mut StoreConfig,
    mut fault: impl FnMut(&'static str, &'static str),
) {
    match settings.store.as_ref().map(|text| text.0.expose_secret()) {
        None | Some(EMBEDDED) => {}
        Some(url) => match RedisUrl::parse(url) {
            Ok(url) => config.place = StorePlace::Redis(url),
            Err(why) => fault("store", why),
        },
    }
    let prefix = &config.redis_prefix;
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if !(1..=LONGEST_PREFIX).contains(&prefix.len()) || !prefix.chars().all(fine) {
        fault(
            "redis-prefix",
            "expected 1 to 64 letters, digits, hyphens, underscores, dots and colons",
        );
    }
    let StorePlace::Redis(url) = &config.place else {
        return;
    };
    if config.redis_ca_file.is_some() && !url.is_tls() {
        fault("redis-ca-file", "only for a store of rediss://");
    }
    if config.redis_password_file.is_some() && url.has_password() {
        fault(
            "redis-password-file",
            "the URL in store has a password, too; give it in one place",
        );
    }
}
