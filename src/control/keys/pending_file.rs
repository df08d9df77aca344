//! Pending revokes on the disk: what a gateway that stops before the store answers
//! takes up at its next start.
//!
//! Invariant: what was said to be kept is in the file, synced.

use std::io;
use std::path::PathBuf;

use crate::files::{self, Access};
use crate::keys::KeyId;

/// The revokes that are pending since before this start can't be read.
#[derive(Debug, thiserror::Error)]
#[error("pending revokes: {}: {cause}; without them keys would be let in again", file.display())]
pub struct LeftRevokesError {
    file: PathBuf,
    cause: io::Error,
}

/// A revoke that the store has not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingRevoke {
    pub key: KeyId,
    /// Who asked for it, as the audit trail names them.
    pub actor: String,
}

pub(super) struct PendingFile {
    path: PathBuf,
}

impl PendingFile {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Replaces what is kept. Returns whether it is.
    pub fn keep<'a>(&self, revokes: impl Iterator<Item = &'a PendingRevoke>) -> bool {
        let lines: String = revokes
            .map(|revoke| format!("{} {}\n", revoke.key, serde_json::json!(revoke.actor)))
            .collect();
        // An empty one, not none: its removal would have to be synced, too.
        let kept = files::write(&self.path, lines.as_bytes(), Access::Secret);
        if let Err(error) = &kept {
            tracing::error!(path = %self.path.display(), %error, "pending revokes can't be kept on the disk: a restart loses them");
        }
        kept.is_ok()
    }

    /// What an earlier process left.
    ///
    /// # Errors
    /// What the system says, or the line that can't be read: no revoke is passed over
    /// in silence.
    pub fn left(&self) -> Result<Vec<PendingRevoke>, LeftRevokesError> {
        let read = || -> io::Result<_> {
            let content = files::read_if_present(&self.path)?.unwrap_or_default();
            let text =
                String::from_utf8(content).map_err(|_| io::Error::other("it is not UTF-8"))?;
            text.lines().map(parse).collect()
        };
        read().map_err(|cause| LeftRevokesError {
            file: self.path.clone(),
            cause,
        })
    }
}

fn parse(line: &str) -> io::Result<PendingRevoke> {
    let (key, actor) = line.split_once(' ').unwrap_or((line, ""));
    let key = key.parse().map_err(|_| {
        io::Error::other("a line does not begin with the id of a key; mend it or remove it")
    })?;
    // The name is for the trail; the revoke counts without it.
    let actor = serde_json::from_str(actor).unwrap_or_else(|_| actor.to_owned());
    Ok(PendingRevoke { key, actor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_a_strange_line_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pending.revokes");
        let file = PendingFile::new(path.clone());
        assert!(file.left().unwrap().is_empty());
        let revoke = PendingRevoke {
            key: "key_0123456789ABCDEF".parse().unwrap(),
            actor: "ops \"é\"\none".into(),
        };
        assert!(file.keep([&revoke].into_iter()));
        assert_eq!(file.left().unwrap(), [revoke]);
        assert!(file.keep([].into_iter()));
        assert!(file.left().unwrap().is_empty());
        std::fs::write(&path, "key_?\n").unwrap();
        assert!(file.left().is_err());
        let nowhere = PendingFile::new(folder.path().join("no/such"));
        assert!(!nowhere.keep([].into_iter()));
    }
}
