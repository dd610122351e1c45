//! Events that a command hands over to the running service, which holds the journal open: files of
//! one event per line in a folder beside it. A file appears whole, and is removed when all of its
//! events are in the journal.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const FOLDER: &str = "handover";
const FOLDER_MODE: u32 = 0o700;
const READY: &str = "events";
const UNFINISHED: &str = "unfinished";

/// The folder of handed over events, in a data folder.
#[derive(Clone, Debug)]
pub struct Handover(PathBuf);

/// A file that is being written. Without [`HandoverFile::finish`] it is never read.
pub struct HandoverFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Handover {
    #[must_use]
    pub fn of(data_folder: &Path) -> Handover {
        Handover(data_folder.join(FOLDER))
    }

    /// Begins a file.
    pub fn begin(&self) -> io::Result<HandoverFile> {
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(&self.0)?;
        let name = uuid::Uuid::now_v7().simple().to_string();
        let path = self.0.join(name).with_extension(UNFINISHED);
        let file = BufWriter::new(File::create_new(&path)?);

        Ok(HandoverFile { path, file })
    }

    /// The finished files, the oldest first.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };

        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            // Anything else may block its reader.
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if is_file && path.extension() == Some(OsStr::new(READY)) {
                files.push(path);
            }
        }
        files.sort_unstable();

        Ok(files)
    }
}

impl HandoverFile {
    /// Adds an event, which holds no line break.
    pub fn push(&mut self, event: &[u8]) -> io::Result<()> {
        self.file.write_all(event)?;
        self.file.write_all(b"\n")
    }

    /// Makes the file durable and visible. Returns its path.
    pub fn finish(self) -> io::Result<PathBuf> {
        let file = self.file.into_inner().map_err(io::Error::from)?;
        file.sync_all()?;
        let ready = self.path.with_extension(READY);
        fs::rename(&self.path, &ready)?;

        Ok(ready)
    }
}

/// The events of a finished file.
pub fn handed_over(file: &Path) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>> + use<>> {
    let lines = BufReader::new(File::open(file)?).split(b'\n');

    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finished_files_are_seen_in_their_order() {
        let data = tempfile::tempdir().unwrap();
        let handover = Handover::of(data.path());
        assert!(handover.files().unwrap().is_empty());

        let _unfinished = handover.begin().unwrap();
        let mut paths = Vec::new();
        for events in [&["a", "b"][..], &["c"]] {
            let mut file = handover.begin().unwrap();
            for event in events {
                file.push(event.as_bytes()).unwrap();
            }
            paths.push(file.finish().unwrap());
        }

        assert_eq!(handover.files().unwrap(), paths);
        let events: Vec<_> = handed_over(&paths[0])
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(events, [b"a", b"b"]);
    }
}
