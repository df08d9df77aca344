//! The configuration: file < environment < flags, validated as a whole.
//!
//! Owns: the settings, their defaults and rules, and where each may be given.
//! Must not know: what the values do. Invariant: a [`Config`] from
//! [`Config::load`] is complete and in range, or nothing has been started.

mod check;
mod error;
mod layers;
mod model;
#[cfg(test)]
mod page_test;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ArgMatches;

pub(crate) use error::{ConfigError, Origin, Problem};

#[cfg(test)]
pub(crate) use layers::CLIENT_VARIABLES;
pub use model::{Config, Tls};
pub(crate) use model::{Listen, Log};
pub use settings::Settings;
pub(crate) use store::{StoreConfig, StorePlace, StoreText};
pub(crate) use values::LogFormat;

impl Config {
    /// The configuration from all three sources.
    ///
    /// `flags` and `matches` are clap's reading of the command line, `file` the
    /// value of `--config` (else the variable `MUSTER_CONFIG` names the file;
    /// else there is none), `environment` all variables of the process.
    /// Relative paths are relative to the working directory.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong in environment, file and
    /// the whole.
    pub fn load(
        flags: Settings,
        matches: &ArgMatches,
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let flags = layers::Layer::of_flags(flags, matches);
        let (environment, named) = layers::Layer::of_environment(environment, &mut problems);
        let file = match (file, named) {
            (Some(path), _) => Some((path.to_owned(), Origin::Flag("--config".to_owned()))),
            (None, Some(path)) => Some((
                PathBuf::from(path),
                Origin::Environment("MUSTER_CONFIG".to_owned()),
            )),
            (None, None) => None,
        };
        let file = file.map_or_else(layers::Layer::default, |(path, named_by)| {
            layers::Layer::of_file(&path, named_by, &mut problems)
        });
        check::check(flags.over(environment).over(file), problems)
    }
}
