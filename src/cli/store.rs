//! `muster store …`: what is done to a store as a whole, without a gateway.
//!
//! Owns: what is asked and said. Must not know: how a store is read or written.
//! Invariant: no URL is shown with its password.

mod accept_clock;
mod adopt;
mod check;
mod compact;
mod copy;
mod offline;

use clap::{ArgMatches, Args, Subcommand};

use super::error::CliError;
use super::output::Console;
use crate::cli::store::offline::{CopyArgs, OfflineArgs, hide_all_but_the_store};

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
    /// Let the embedded store go by this host's clock, after one that was ahead
    #[command(after_help = "Examples:
  muster store accept-clock
  muster store accept-clock --data-dir /var/lib/muster --yes

Stop the gateway first. Its store remembers the latest time that it has seen, so that a
clock that is set back opens no expired key. When that time itself was wrong, because
the host's clock was ahead once, this takes it back. Every other setting of `muster
serve` is taken, too, and does nothing here.")]
    AcceptClock(Box<ConfirmedArgs>),
    /// Go on with the store that is there, in place of a lost one
    #[command(after_help = "Examples:
  muster store adopt --data-dir gw1 --store redis://127.0.0.1:6379/0
  muster store adopt --config /etc/muster.toml --yes

For gateways whose Redis was emptied or swapped: they know their store by its id
(store.id in the data directory) and take no other one for it. Give the settings of
one of them; once is enough for all, and running ones go on by themselves. When the
lost store can be restored from a backup, do that instead. Every other setting of
`muster serve` is taken, too, and does nothing here.")]
    Adopt(Box<ConfirmedArgs>),
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
    /// Give the free space of the embedded store's file back
    #[command(after_help = "Examples:
  muster store compact
  muster store compact --data-dir /var/lib/muster -o json

Stop the gateway first. The file keeps the space of rows that are gone for new ones; a
start gives it back by itself when it is more than half of a large file. Every other
setting of `muster serve` is taken, too, and does nothing here.")]
    Compact(Box<OfflineArgs>),
    /// Copy one gateway's embedded store to Redis, for several gateways
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
struct ConfirmedArgs {
    #[command(flatten)]
    offline: OfflineArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(
    args: StoreArgs,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    match args.command {
        StoreCommand::AcceptClock(args) => {
            let config = args.offline.load(matches)?;
            accept_clock::run(&config, args.yes, console)
        }
        StoreCommand::Adopt(args) => {
            let config = args.offline.load(matches)?;
            adopt::run(&config, args.yes, console).await
        }
        StoreCommand::Check(args) => check::run(&args.load(matches)?, console).await,
        StoreCommand::Compact(args) => compact::run(&args.load(matches)?, console),
        StoreCommand::Copy(args) => copy::run(*args, matches, console).await,
    }
}
