//! The disk interface of the journal, and the disk of the machine. The trait exists so that tests
//! can make a disk fail in the ways that real disks do.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::checkpoint::sync_folder;

/// Creates and opens segment files.
pub trait Disk: Send {
    /// Creates a segment and reserves disk space for it. Its name is durable on return.
    fn create(&self, path: &Path, reserve_bytes: u64) -> io::Result<Box<dyn Segment>>;

    /// Opens an existing segment for appends from `offset` on.
    fn open(&self, path: &Path, offset: u64, reserve_bytes: u64) -> io::Result<Box<dyn Segment>>;
}

/// An open segment file, positioned at its end.
pub trait Segment: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    fn sync(&mut self) -> io::Result<()>;

    /// Truncates the segment to `length` bytes, to undo a failed append.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// The disk of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct MachineDisk;

impl Disk for MachineDisk {
    fn create(&self, path: &Path, reserve_bytes: u64) -> io::Result<Box<dyn Segment>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(path)?;

        if let Err(error) = reserve(&file, 0, reserve_bytes) {
            // An empty segment without reserved space is useless but harmless: a failed removal
            // leaves a file that holds no record.
            let _ = fs::remove_file(path);
            return Err(error);
        }

        if let Some(folder) = path.parent() {
            sync_folder(folder)?;
        }
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path, offset: u64, reserve_bytes: u64) -> io::Result<Box<dyn Segment>> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.seek(SeekFrom::Start(offset))?;

        // The records of a segment must stay readable on a full disk, so a failed reservation is no
        // failure here: the first append reports it.
        let _ = reserve(&file, offset, reserve_bytes.saturating_sub(offset));

        Ok(Box::new(file))
    }
}

/// Reserves disk blocks beyond the end of the file, so that appends cannot run out of space. The
/// length of the file stays unchanged.
fn reserve(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }

    match fallocate(file, FallocateFlags::KEEP_SIZE, offset, bytes) {
        // A file system without support for reservations reports a full disk at the append.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Segment for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.seek(SeekFrom::Start(length)).map(|_| ())
    }
}
