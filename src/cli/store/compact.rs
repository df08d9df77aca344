//! `muster store compact`.

use serde::Serialize;

use super::offline::place;
use crate::cli::error::CliError;
use crate::cli::output::Console;
use crate::server::config::Config;
use crate::server::maintenance::compact;

/// What was done, for programs.
#[derive(Debug, Serialize)]
struct CompactedJson {
    bytes_before: u64,
    bytes_after: u64,
}

pub(super) fn run(config: &Config, console: &mut Console) -> Result<(), CliError> {
    console.note(&format!(
        "Compacting {}; a file of 1 GB may take half a minute.",
        place(config)
    ));
    let Some(done) = compact(config)? else {
        return Err(CliError::Refused(
            "a store on Redis has no file of muster's to compact".to_owned(),
        ));
    };
    if console.json_wanted() {
        return console.print_json(&CompactedJson {
            bytes_before: done.before,
            bytes_after: done.after,
        });
    }
    console.print(&format!(
        "The store file had {} bytes, it has {} now.\n",
        done.before, done.after
    ))
}
