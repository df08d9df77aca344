//! What the commands on a whole store share.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args};

use crate::cli::output::Console;
use crate::server::config::Config;
use crate::server::config::ConfigError;
use crate::server::config::Settings;
use crate::server::config::{StorePlace, StoreText};

#[derive(Debug, Args)]
#[command(mut_args(hide_all_but_the_store))]
pub(super) struct OfflineArgs {
    /// A TOML file with settings (or MUSTER_CONFIG)
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) settings: Settings,
}

#[derive(Debug, Args)]
#[command(mut_args(hide_all_but_redis))]
pub(super) struct CopyArgs {
    /// The data directory of the gateway to be moved, as embedded:DIR
    #[arg(long, value_name = "embedded:DIR")]
    pub(super) from: String,
    /// Where to: redis://HOST:PORT, with USER:PASSWORD@ before HOST and /DB at the end
    /// where needed
    #[arg(long, value_name = "STORE")]
    pub(super) to: StoreText,
    /// Remove what an interrupted copy left there, and begin anew
    #[arg(long)]
    pub(super) again: bool,
    #[command(flatten)]
    pub(super) offline: OfflineArgs,
}

/// The rest of `serve`'s settings would only be in the way here.
pub(super) fn hide_all_but_the_store(arg: Arg) -> Arg {
    let id = arg.get_id().as_str();
    let shown = ["config", "data_dir", "store", "yes"].contains(&id) || id.starts_with("redis_");
    arg.hide(!shown)
}

pub(super) fn hide_all_but_redis(arg: Arg) -> Arg {
    let id = arg.get_id().as_str();
    let shown = ["from", "to", "again", "config"].contains(&id) || id.starts_with("redis_");
    arg.hide(!shown)
}

impl OfflineArgs {
    /// The configuration as `serve` would have it from these sources.
    pub(super) fn load(self, matches: &ArgMatches) -> Result<Config, ConfigError> {
        let file = self.config.as_deref();
        Config::load(self.settings, matches, file, std::env::vars_os())
    }
}

/// Where the store is, without a password.
pub(super) fn place(config: &Config) -> String {
    match &config.store.place {
        StorePlace::Embedded => config.data_dir.join("store.redb").display().to_string(),
        StorePlace::Redis(url) => format!("{url}, prefix {}", config.store.redis_prefix),
    }
}

/// Reports progress at intervals.
pub(super) fn progress(console: &mut Console, verb: &'static str) -> impl FnMut(u64) {
    const EVERY: u64 = 10_000;
    let mut told = 0;
    move |rows| {
        if rows / EVERY > told {
            told = rows / EVERY;
            console.progress(&format!("{verb} {rows} rows …"));
        }
    }
}
