//! What can be wrong with a configuration, in words for its author.
//!
//! Invariant: each problem names the setting, where its value came from, the
//! rule and so the cure.

use std::fmt;
use std::path::PathBuf;

/// No setting's name is near this.
const LONGEST_NAME: usize = 60;

/// Everything that is wrong with a configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// In the order in which they were found: environment, file, the whole.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.problems.as_slice() {
            return write!(f, "configuration: {only}");
        }
        write!(f, "configuration: {} problems", self.problems.len())?;
        for problem in &self.problems {
            write!(f, "\n  - {problem}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A value breaks a rule.
    #[error("{setting} ({origin}): {fault}")]
    Value {
        /// The setting's name, as in the TOML file.
        setting: String,
        /// Where the value came from.
        origin: Origin,
        /// The value, the rule and the cure.
        fault: String,
    },
    /// There is no such setting.
    #[error("unknown setting {} ({origin}){}", bounded(.name), did_you_mean(.suggestion))]
    Unknown {
        /// As it was written.
        name: String,
        origin: Origin,
        /// A setting whose name is close to it.
        suggestion: Option<String>,
    },
    /// The configuration file can't be read.
    #[error("can't read the configuration file {} ({origin}): {fault}", .path.display())]
    File {
        path: PathBuf,
        /// Where it was named.
        origin: Origin,
        /// The operating system's reason.
        fault: String,
    },
    /// The configuration file is not TOML.
    #[error("{} line {line}: not TOML: {fault}", .path.display())]
    Syntax {
        path: PathBuf,
        line: usize,
        /// What the parser says.
        fault: String,
    },
}

/// Where the value of a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line; the flag with its dashes.
    Flag(String),
    /// The environment; the variable's name.
    Environment(String),
    /// The configuration file.
    File {
        path: PathBuf,
        line: usize,
    },
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A name as it was written, if it could be one: another text may be a secret that
/// stands in the wrong place.
fn bounded(name: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if name.len() <= LONGEST_NAME && name.chars().all(fine) {
        format!("{name:?}")
    } else {
        "(not a name, and not shown)".to_owned()
    }
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    match suggestion {
        Some(name) => format!("; did you mean {name}?"),
        None => "; see `muster serve --help` for all settings".to_owned(),
    }
}
