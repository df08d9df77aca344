//! Files that are whole or absent.
//!
//! Owns: reading with a bound, writing without a half state, who may read.
//! Must not know: what is in the files. Invariant: a secret file is 0600 from
//! its first byte, and a crash leaves the old content or the new.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::CertError;

/// No certificate or key is near this; a wrong path may be.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody (0644).
    Public,
    /// Its owner (0600).
    Secret,
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CertError {
    move |cause| CertError::File {
        doing,
        path: path.to_owned(),
        cause,
    }
}

/// The file's text; none when there is no such file.
pub(super) fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, CertError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let mut content = Vec::new();
    file.take(MAX_FILE_BYTES)
        .read_to_end(&mut content)
        .map_err(failed("read", path))?;
    Ok(Some(content))
}

/// Like [`read_if_present`], for a file that has to be there.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CertError> {
    read_if_present(path)?.ok_or_else(|| failed("read", path)(io::ErrorKind::NotFound.into()))
}

/// Makes a directory and its parents, for the owner alone; one that exists is
/// left as it is.
pub(super) fn make_dir(path: &Path) -> Result<(), CertError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("create the directory", path))
}

/// Replaces the file as a whole, and makes it durable.
pub(super) fn write(path: &Path, content: &[u8], access: Access) -> Result<(), CertError> {
    let temporary = temporary(path);
    let written = write_to(&temporary, content, access).and_then(|()| {
        fs::rename(&temporary, path)?;
        // The new name itself has to survive a power cut.
        path.parent()
            .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    });
    if written.is_err() {
        // Best effort: the error that matters is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed("write", path))
}

fn write_to(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    // What a crash left may have other permissions, so it is not reused.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mode = match access {
        Access::Public => 0o644,
        Access::Secret => 0o600,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Holds others off who would make the same files; the lock ends with the value.
pub(super) fn lock(path: &Path) -> Result<File, CertError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed("lock", path))?;
    file.lock().map_err(failed("lock", path))?;
    Ok(file)
}

/// Whether others than the owner may read the file.
pub(super) fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}
