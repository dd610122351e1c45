//! What the journal asks of the disk, and the disk itself. The seam exists so that tests can let it
//! fail the way disks do.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::checkpoint::sync_folder;

/// Where segments are made.
pub trait Disk: Send {
    /// A new segment with room for so many bytes. Its name is durable when this returns.
    fn create(&self, path: &Path, reserve_bytes: u64) -> io::Result<Box<dyn Segment>>;

    /// A segment that exists, to be written from `offset` on.
    fn open(&self, path: &Path, offset: u64, reserve_bytes: u64) -> io::Result<Box<dyn Segment>>;
}

/// The end of a segment.
pub trait Segment: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    /// Undoes appends that did not succeed.
    fn cut(&mut self, length: u64) -> io::Result<()>;
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
            // Without room for a whole segment there is none.
            let _kept = fs::remove_file(path);
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
        // What the segment holds must be readable even when there is no room to go on in it: then
        // the first append says so.
        let _no_room = reserve(&file, offset, reserve_bytes.saturating_sub(offset));
        Ok(Box::new(file))
    }
}

/// Takes blocks of the disk beyond the end of the file, so that appends cannot run out of room. The
/// length of the file stays.
fn reserve(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, offset, bytes) {
        // A file system that cannot do it finds out at the append.
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

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.seek(SeekFrom::Start(length)).map(|_| ())
    }
}
