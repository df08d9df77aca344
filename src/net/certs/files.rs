//! The certificates' files, with errors that say which file and what was done.
//!
//! Owns: the lock of a shared CA directory. Must not know: what is in the files.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::CertError;
pub(super) use crate::files::{Access, is_open_to_others};

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CertError {
    move |cause| CertError::File {
        doing,
        path: path.to_owned(),
        cause,
    }
}

/// The file's bytes; none when there is no such file.
pub(super) fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, CertError> {
    crate::files::read_if_present(path).map_err(failed("read", path))
}

/// Like [`read_if_present`], for a file that has to be there.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CertError> {
    read_if_present(path)?.ok_or_else(|| failed("read", path)(io::ErrorKind::NotFound.into()))
}

/// Makes a directory and its parents, for the owner alone.
pub(super) fn make_dir(path: &Path) -> Result<(), CertError> {
    crate::files::make_dir(path).map_err(failed("create the directory", path))
}

/// Replaces the file as a whole, and makes it durable.
pub(super) fn write(path: &Path, content: &[u8], access: Access) -> Result<(), CertError> {
    crate::files::write(path, content, access).map_err(failed("write", path))
}

/// Keeps other processes from making the same files; the lock ends with the value.
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
