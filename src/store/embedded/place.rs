//! Where the store file lies: is it still there, is there room, and the reserve
//! that is given up so that the end of a key fits on a full disk.
//!
//! Must not know: what is in the file.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::files::{self, Access};

/// Thousands of revokes with their audit records.
const RESERVE_BYTES: usize = 1 << 20;

pub(super) struct Place {
    path: PathBuf,
    /// Device and inode of the open file.
    file: (u64, u64),
}

impl Place {
    /// Of the file that is open under `path`.
    pub fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: identity(&fs::metadata(path)?),
            path: path.to_owned(),
        })
    }

    /// Whether the open file is the one that a restart would find.
    pub fn look(&self) -> Result<(), String> {
        let name = self.path.display();
        match fs::metadata(&self.path) {
            Ok(found) if identity(&found) == self.file => Ok(()),
            Ok(_) => Err(format!(
                "{name} was replaced while muster has it open: a restart would not find what is \
                 written now; move the first file back, or restart muster to use the one there"
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
                "{name} was removed while muster has it open: a restart would not find what is \
                 written now; move it back, or restart muster with a backup in its place"
            )),
            Err(error) => Err(format!("{name}: {error}")),
        }
    }

    fn reserve(&self) -> PathBuf {
        self.path.with_extension("reserve")
    }

    /// Fills the reserve, where it is not full, and leaves as much room beside it:
    /// without any, the next write would need the reserve again.
    pub fn lay_reserve(&self) -> io::Result<()> {
        let path = self.reserve();
        if !fs::metadata(&path).is_ok_and(|file| file.len() == RESERVE_BYTES as u64) {
            files::write(&path, &vec![0; RESERVE_BYTES], Access::Secret)?;
        }
        if files::free_bytes(files::dir_of(&self.path))? >= RESERVE_BYTES as u64 {
            return Ok(());
        }
        self.give_up_reserve();
        Err(Errno::NOSPC.into())
    }

    /// Its space is for what must not wait.
    pub fn give_up_reserve(&self) {
        // Where it can't be removed, there is no more room than before.
        let _ = fs::remove_file(self.reserve());
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
