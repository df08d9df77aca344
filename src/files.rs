//! Files that are whole or absent.
//!
//! Owns: reading with a bound, writing without a half state, permissions.
//! Must not know: what is in the files. Invariant: a secret file is 0600 from
//! its first byte, and a crash leaves the old content or the new.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// No certificate, key or token is near this; a wrong path may be.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The readers of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Public,
    Secret,
}

/// The file's bytes, 1 MiB at most; none when there is no such file.
///
/// # Errors
/// What the system says.
pub fn read_if_present(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// Makes a directory and its parents, for the owner alone; one that exists is
/// left as it is.
///
/// # Errors
/// What the system says.
pub fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Whether others than the owner may read the file.
pub fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// Replaces the file as a whole, and makes it durable.
///
/// # Errors
/// What the system says; the file is as it was.
pub fn write(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let temporary = temporary(path);
    let written = create(&temporary, access)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| rename(&temporary, path));
    if written.is_err() {
        // Best effort: the error that matters is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Makes an empty file. What a crash left under that name may have other
/// permissions, so it is removed first.
///
/// # Errors
/// What the system says.
pub fn create(path: &Path, access: Access) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mode = match access {
        Access::Public => 0o644,
        Access::Secret => 0o600,
    };
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}

/// Bytes that are free for this user on the disk of a directory.
///
/// # Errors
/// What the system says.
pub fn free_bytes(dir: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The directory that a file is in.
pub fn dir_of(path: &Path) -> &Path {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    dir.unwrap_or(Path::new("."))
}

/// Gives a finished file its name, and makes the name survive a power cut.
///
/// # Errors
/// What the system says.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    File::open(dir_of(to))?.sync_all()
}

/// Beside the file, so that a rename stays on one file system.
fn temporary(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Holds a page of `docs/` to what the code says; `UPDATE_DOCS=1` writes it.
#[cfg(test)]
pub(crate) fn page_is_current(page: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "{page} is not what the code says: UPDATE_DOCS=1 cargo test --lib page"
    );
}
