//! A store file that is read, and repaired in memory alone: nothing is written to it.
//! For a file in use by nobody, and for a disk that takes no writes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use parking_lot::Mutex;
use redb::StorageBackend;

/// Written blocks are kept by this size, in bytes.
const BLOCK: usize = 4096;

#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    /// Bytes of the file that count; it may have been cut since.
    below: u64,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    blocks: BTreeMap<u64, Box<[u8; BLOCK]>>,
}

impl Overlay {
    pub fn over(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self {
            file,
            below: len,
            written: Mutex::new(Written {
                len,
                blocks: BTreeMap::new(),
            }),
        })
    }

    /// A block as it is in the file; zeros behind its end.
    fn block_below(&self, block: u64) -> io::Result<Box<[u8; BLOCK]>> {
        let mut bytes = Box::new([0; BLOCK]);
        let from = block * BLOCK as u64;
        let there = self.below.saturating_sub(from).min(BLOCK as u64);
        let there = usize::try_from(there).unwrap_or(BLOCK);
        self.file.read_exact_at(&mut bytes[..there], from)?;
        Ok(bytes)
    }
}

/// The blocks that a range touches: of each its number, where in it the part begins,
/// and where in the range.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at == len {
            return None;
        }
        let place = offset + at as u64;
        let within = (place % BLOCK as u64) as usize;
        let end = len.min(at + BLOCK - within);
        let range = at..end;
        at = end;
        Some((place / BLOCK as u64, within, range))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock();
        if offset + out.len() as u64 > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (block, within, range) in parts(offset, out.len()) {
            let end = within + range.len();
            match written.blocks.get(&block) {
                Some(bytes) => out[range].copy_from_slice(&bytes[within..end]),
                None => out[range].copy_from_slice(&self.block_below(block)?[within..end]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.lock();
        if len < written.len {
            // What is cut off reads as zeros when it grows again.
            let first = len.div_ceil(BLOCK as u64);
            for block in first..written.len.div_ceil(BLOCK as u64) {
                written.blocks.insert(block, Box::new([0; BLOCK]));
            }
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock();
        for (block, within, range) in parts(offset, data.len()) {
            let bytes = match written.blocks.entry(block) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(self.block_below(block)?)
                }
            };
            bytes[within..within + range.len()].copy_from_slice(&data[range]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_file_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let before: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
        std::fs::write(&path, &before).unwrap();
        let overlay = Overlay::over(&path).unwrap();
        let mut expected = before.clone();
        overlay.write(4_000, &[7; 5_000]).unwrap();
        expected[4_000..9_000].fill(7);
        overlay.set_len(20_000).unwrap();
        expected.resize(20_000, 0);
        overlay.write(15_000, &[9; 10]).unwrap();
        expected[15_000..15_010].fill(9);
        let mut read = vec![1; 20_000];
        overlay.read(0, &mut read).unwrap();
        assert!(read == expected);
        assert!(overlay.read(19_999, &mut [0; 2]).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}
