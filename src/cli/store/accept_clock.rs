//! `muster store accept-clock`.
//!
//! Invariant: no time is taken back before it was said what that means, and it was
//! confirmed, or `--yes` was given.

use serde::Serialize;

use super::offline::place;
use crate::cli::error::CliError;
use crate::cli::output::Console;
use crate::server::config::Config;
use crate::server::maintenance::{Clocks, accept_clock, clocks};

/// What was done, for programs.
#[derive(Debug, Serialize)]
struct AcceptedJson {
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_time: Option<String>,
    host_clock: String,
}

pub(super) fn run(config: &Config, yes: bool, console: &mut Console) -> Result<(), CliError> {
    let Some(clocks) = clocks(config)? else {
        return Err(CliError::Refused(
            "a store on Redis goes by the clock of Redis's host: set that one right".to_owned(),
        ));
    };
    let Clocks { seen, host } = clocks;
    let is_behind = seen.is_some_and(|seen| seen > host);
    let mut done = AcceptedJson {
        accepted: false,
        store_time: seen.map(|seen| seen.to_string()),
        host_clock: host.to_string(),
    };
    if !is_behind {
        if console.json_wanted() {
            return console.print_json(&done);
        }
        let text = format!("Nothing to accept: this host's clock ({host}) is not behind.\n");
        return console.print(&text);
    }
    console.check_sure_of(
        yes,
        "there is no terminal to ask on; if this host's clock is right, say --yes. Nothing was \
         changed",
    )?;
    console.note(&announcement(&clocks, &place(config)));
    if !yes && !console.confirm("Is this host's clock right?") {
        return Err(CliError::Refused("nothing was changed".to_owned()));
    }
    let now = accept_clock(config)?;
    if console.json_wanted() {
        done.accepted = true;
        done.host_clock = now.to_string();
        return console.print_json(&done);
    }
    console.print(&format!("The store goes by this host's clock: {now}.\n"))
}

fn announcement(clocks: &Clocks, at: &str) -> String {
    let host = clocks.host;
    let seen = clocks
        .seen
        .map_or_else(|| "none".to_owned(), |seen| seen.to_string());
    format!(
        "{at} has seen the time {seen}; this host's clock shows {host}.\n\
         To accept the host's clock means:\n  \
         - keys and tokens that have expired in between are valid again, until this clock \
         reaches their expiry;\n  \
         - keys created while the clock was wrong keep the expiry that they were given then: \
         see muster keys list.\n\
         Do it only if the host's clock is right now, and was ahead before."
    )
}
