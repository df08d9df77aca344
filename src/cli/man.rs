//! `muster man`: a manual page for each command.
//!
//! Must not know: any command; clap's tree of them is enough.

use std::fs;
use std::io;
use std::path::Path;

use super::error::CliError;
use super::output::{Console, plural};

/// Writes `muster.1` and one page for each command below it.
pub(super) fn run(
    mut command: clap::Command,
    dir: &Path,
    console: &mut Console,
) -> Result<(), CliError> {
    // Fills in the full names and what holds for all commands.
    command.build();
    let failed = |error: io::Error| {
        CliError::Refused(format!("can't write pages to {}: {error}", dir.display()))
    };
    fs::create_dir_all(dir).map_err(failed)?;
    let pages = write(&command, "muster", dir).map_err(failed)?;
    let pages = plural(pages, "page");
    console.note(&format!("Wrote {pages} to {}.", dir.display()));
    Ok(())
}

fn write(command: &clap::Command, name: &str, dir: &Path) -> io::Result<u64> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    fs::write(dir.join(format!("{name}.1")), page)?;
    let mut written = 1;
    for below in command.get_subcommands() {
        // "help" repeats the whole tree.
        if below.get_name() != "help" {
            written += write(below, &format!("{name}-{}", below.get_name()), dir)?;
        }
    }
    Ok(written)
}
