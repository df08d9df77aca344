//! `muster store copy`.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde::Serialize;

use super::offline::{CopyArgs, place, progress};
use crate::cli::error::CliError;
use crate::cli::output::{Console, plural};
use crate::control::agent_config::quote::quoted;
use crate::server::config::{Config, ConfigError, Origin, Problem, StorePlace};
use crate::server::maintenance::{Copied, copy};

/// What was copied, for programs.
#[derive(Debug, Serialize)]
struct CopiedJson {
    store: String,
    keys: u64,
    tokens: u64,
    agents: u64,
    registrations: u64,
    events: u64,
    audit: u64,
}

pub(super) async fn run(
    mut args: CopyArgs,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    let from = source(&args.from)?;
    let settings = &mut args.offline.settings;
    if settings.store.is_some() || settings.data_dir.is_some() {
        let text =
            "a copy goes --from embedded:DIR --to redis://…; leave --store and --data-dir out";
        return Err(CliError::Usage(text.to_owned()));
    }
    settings.store = Some(args.to);
    settings.data_dir = Some(from.clone());
    let config = args.offline.load(matches).map_err(blame_to)?;
    let mut progress = progress(console, "Wrote and read back");
    let name = &config.gateway_name;
    let copied = copy(&from, &config.store, name, args.again, &mut progress).await;
    drop(progress);
    console.end_progress();
    let copied = copied?;
    if console.json_wanted() {
        return console.print_json(&CopiedJson {
            store: copied.store.to_string(),
            keys: copied.keys,
            tokens: copied.tokens,
            agents: copied.agents,
            registrations: copied.registrations,
            events: copied.events,
            audit: copied.audit,
        });
    }
    console.print(&in_words(&copied, &from, &config))
}

fn source(from: &str) -> Result<PathBuf, CliError> {
    match from.strip_prefix("embedded:") {
        Some(dir) if !dir.is_empty() => Ok(dir.into()),
        // Not quoted: it may be a URL with a password.
        _ => Err(CliError::Usage(
            "from: expected embedded:DIR, where DIR is a gateway's data directory; from Redis to \
             a file is not supported"
                .to_owned(),
        )),
    }
}

/// The target was given as `--to`, not as the setting that it is.
fn blame_to(mut error: ConfigError) -> ConfigError {
    for problem in &mut error.problems {
        if let Problem::Value {
            setting, origin, ..
        } = problem
            && setting == "store"
        {
            "to".clone_into(setting);
            *origin = Origin::Flag("--to".to_owned());
        }
    }
    error
}

fn in_words(copied: &Copied, from: &Path, config: &Config) -> String {
    let what = [
        plural(copied.keys, "key"),
        plural(copied.tokens, "token"),
        plural(copied.agents, "agent"),
        plural(copied.registrations, "registration"),
        plural(copied.events, "event"),
        plural(copied.audit, "audit record"),
    ];
    let file = from.join("store.redb");
    let old = quoted(&file.to_string_lossy());
    let moved = quoted(&from.join("store.redb.moved").to_string_lossy());
    let mut flags = match &config.store.place {
        StorePlace::Redis(url) => format!("--store {}", quoted(&url.to_string())),
        StorePlace::Embedded => String::new(),
    };
    let store = &config.store;
    if store.redis_prefix != crate::server::config::StoreConfig::default().redis_prefix {
        flags += &format!(" --redis-prefix {}", quoted(&store.redis_prefix));
    }
    if let Some(file) = &store.redis_password_file {
        let file = quoted(&file.to_string_lossy());
        flags += &format!(" --redis-password-file {file}");
    }
    format!(
        "Copied to {}: {}; all keys and tokens were read back.\n\n\
         Next, so that nobody starts on the old file by mistake, and the gateway on the new store \
         (with the user and password that you gave, if any):\n  \
         mv {old} {moved}\n  \
         muster serve --data-dir {} {flags}\n\n\
         admin.token and the CA in {} stay good. Other gateways need that CA, too: --ca-dir, or \
         muster ca issue.\n",
        place(config),
        what.join(", "),
        quoted(&from.to_string_lossy()),
        from.display(),
    )
}
