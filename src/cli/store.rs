//! `muster store …`: what is done to a store as a whole, without a gateway.
//!
//! Owns: what is asked and said. Must not know: how a store is read or written.
//! Invariant: no URL is shown with its password.

mod adopt;
mod check;
mod copy;

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Subcommand};

use super::error::CliError;
use super::output::Console;
use crate::server::config::{Config, ConfigError, Settings, StorePlace, StoreText};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster store check --store redis://127.0.0.1:6379/0
  muster store copy --from embedded:muster-data --to redis://127.0.0.1:6379/0
  muster store adopt --store redis://127.0.0.1:6379/0

These work on the store itself, not through a gateway.")]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Go on with the store that is there, in place of a lost one
    #[command(after_help = "Examples:
  muster store adopt --data-dir gw1 --store redis://127.0.0.1:6379/0
  muster store adopt --config /etc/muster.toml --yes

For gateways whose Redis was emptied or swapped: they know their store by its id
(store.id in the data directory) and take no other one for it. Give the settings of
one of them; once is enough for all, and running ones go on by themselves. When the
lost store can be restored from a backup, do that instead. Every other setting of
`muster serve` is taken, too, and does nothing here.")]
    Adopt(Box<AdoptArgs>),
    /// Read a whole store and report what is inconsistent; changes nothing
    #[command(after_help = "Examples:
  muster store check --store redis://127.0.0.1:6379/0
  muster store check --data-dir muster-data          the embedded store, its gateway stopped
  muster store check -o json | jq '.findings[]'

Redis can be checked at any time. The embedded store's file must not be in use: stop
its gateway, or copy store.redb and check the directory with the copy.
Exit codes: 0 when the store is sound, 3 when something was found, 1 when it could
not be read, 2 for wrong usage. Every other setting of `muster serve` is taken, too,
and does nothing here.")]
    Check(Box<OfflineArgs>),
    /// Copy one gateway's embedded store to Redis, so that others can join it
    #[command(after_help = "Examples:
  muster store copy --from embedded:muster-data --to redis://127.0.0.1:6379/0
  muster store copy --from embedded:muster-data --to redis://muster@redis:6379/0 \\
      --redis-password-file /etc/muster/redis.password

Stop the gateway first. All keys keep working and what is revoked stays revoked:
keys, tokens, agents, registrations, last uses, events and the audit trail are copied, read back and
counted. The file is left as it is, but for the repair after a crash. Nothing of
muster's may be at the target; what an interrupted copy left there is no store, and
--again begins it anew. The other way, from Redis to a file, is not supported.")]
    Copy(Box<CopyArgs>),
}

#[derive(Debug, Args)]
#[command(mut_args(hide_all_but_the_store))]
struct AdoptArgs {
    #[command(flatten)]
    offline: OfflineArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Args)]
#[command(mut_args(hide_all_but_the_store))]
struct OfflineArgs {
    /// A TOML file with settings (or MUSTER_CONFIG)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
#[command(mut_args(hide_all_but_redis))]
struct CopyArgs {
    /// The data directory of the gateway to be moved, as embedded:DIR
    #[arg(long, value_name = "embedded:DIR")]
    from: String,
    /// Where to: redis://HOST:PORT/DB, with USER:PASSWORD@ before HOST where needed
    #[arg(long, value_name = "STORE")]
    to: StoreText,
    /// Remove what an interrupted copy left there, and begin anew
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    offline: OfflineArgs,
}

/// The rest of `serve`'s settings would only be in the way here.
fn hide_all_but_the_store(arg: Arg) -> Arg {
    let id = arg.get_id().as_str();
    let shown = ["config", "data_dir", "store", "yes"].contains(&id) || id.starts_with("redis_");
    arg.hide(!shown)
}

fn hide_all_but_redis(arg: Arg) -> Arg {
    let id = arg.get_id().as_str();
    let shown = ["from", "to", "again", "config"].contains(&id) || id.starts_with("redis_");
    arg.hide(!shown)
}

pub(super) async fn run(
    args: StoreArgs,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    match args.command {
        StoreCommand::Adopt(args) => {
            let config = args.offline.load(matches)?;
            adopt::run(&config, args.yes, console).await
        }
        StoreCommand::Check(args) => check::run(&args.load(matches)?, console).await,
        StoreCommand::Copy(args) => copy::run(*args, matches, console).await,
    }
}

impl OfflineArgs {
    /// The configuration as `serve` would have it from these sources.
    fn load(self, matches: &ArgMatches) -> Result<Config, ConfigError> {
        let file = self.config.as_deref();
        Config::load(self.settings, matches, file, std::env::vars_os())
    }
}

/// Where the store is, without a password.
fn place(config: &Config) -> String {
    match &config.store.place {
        StorePlace::Embedded => config.data_dir.join("store.redb").display().to_string(),
        StorePlace::Redis(url) => format!("{url}, prefix {}", config.store.redis_prefix),
    }
}

/// Tells of every so many rows.
fn progress(console: &mut Console, verb: &'static str) -> impl FnMut(u64) {
    const EVERY: u64 = 10_000;
    let mut told = 0;
    move |rows| {
        if rows / EVERY > told {
            told = rows / EVERY;
            console.progress(&format!("{verb} {rows} rows …"));
        }
    }
}
