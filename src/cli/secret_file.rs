//! The file that a new key or token is written to, and what is said when its
//! secret can't be written, there or to stdout.
//!
//! Invariant: the file is new, its owner's alone, and left behind only with the
//! whole secret in it.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::output::clean;
use crate::cli::output::title;

/// A new file for a secret; removed again unless it is kept.
pub(super) struct SecretFile<'a> {
    path: &'a Path,
    file: Option<File>,
}

impl<'a> SecretFile<'a> {
    /// Makes the file; called before anything is created, for a secret that
    /// can't be kept is lost. `what` would have been created.
    pub fn open(path: &'a Path, what: &str) -> Result<Self, CliError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| {
                CliError::Refused(format!(
                    "can't make the file {}: {error}; no {what} was created",
                    path.display()
                ))
            })?;
        Ok(Self {
            path,
            file: Some(file),
        })
    }

    /// The error of a create whose secret could not be written. `commands` are
    /// those for its kind: `keys` or `tokens`.
    pub fn lost(commands: &str, object_id: &str, name: &str, why: &dyn Display) -> CliError {
        CliError::Refused(format!(
            "{} was created, but its secret could not be written and is lost: {why}\n  revoke it \
             (muster {commands} revoke {}) and create another",
            title(object_id, name),
            clean(object_id)
        ))
    }

    /// Writes the secret and leaves the file behind; returns where it is.
    pub fn keep(mut self, secret: &str) -> std::io::Result<PathBuf> {
        if let Some(file) = &mut self.file {
            writeln!(file, "{secret}")?;
            file.sync_all()?;
        }
        self.file = None;
        Ok(self.path.to_owned())
    }
}

impl Drop for SecretFile<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            // It is ours, and it holds no secret or half of one.
            let _ = std::fs::remove_file(self.path);
        }
    }
}
