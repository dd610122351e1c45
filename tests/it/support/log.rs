//! The output of a process, line by line: kept for the message of a test that fails, and searched
//! by tests that wait for a line.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// Lines shown of a log when a test fails.
const TAIL_LINES: usize = 30;

/// Starts a program. Returns it with its standard output and its standard error.
pub fn spawn(program: &mut Command) -> (Child, Log, Log) {
    let mut child = program
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = Log::read(child.stdout.take().unwrap());
    let errors = Log::read(child.stderr.take().unwrap());

    (child, output, errors)
}

/// The output of one process. Clones share it.
#[derive(Clone, Default)]
pub struct Log {
    lines: Arc<Mutex<Lines>>,
    /// The number of lines so far; closed when the output ends.
    count: Option<watch::Receiver<usize>>,
}

#[derive(Default)]
struct Lines {
    all: Vec<String>,
    /// Lines before it were searched already.
    searched: usize,
}

impl Log {
    /// Reads to the end even when no test looks, or the process would wait for room in the pipe.
    pub fn read(from: impl AsyncRead + Send + Unpin + 'static) -> Log {
        let lines = Arc::<Mutex<Lines>>::default();
        let (announce, count) = watch::channel(0);
        let kept = Arc::clone(&lines);

        tokio::spawn(async move {
            let mut incoming = BufReader::new(from).lines();
            while let Ok(Some(line)) = incoming.next_line().await {
                kept.lock().unwrap().all.push(line);
                announce.send_modify(|count| *count += 1);
            }
        });

        Log {
            lines,
            count: Some(count),
        }
    }

    /// The next line that contains `expected`. Lines up to it are not searched again.
    ///
    /// # Panics
    /// With the tail of the log, when there is none within the time, or the output ends.
    pub async fn until(&self, within: Duration, expected: &str) -> String {
        let Ok(found) = timeout(within, self.search(expected)).await else {
            let tail = self.tail();
            panic!("no {expected:?} in the log within {within:?}:\n{tail}");
        };

        found.unwrap_or_else(|| panic!("the log ended without {expected:?}:\n{}", self.tail()))
    }

    async fn search(&self, expected: &str) -> Option<String> {
        let mut count = self.count.clone()?;

        loop {
            count.borrow_and_update();
            if let Some(line) = self.find(expected) {
                return Some(line);
            }
            if count.changed().await.is_err() {
                return self.find(expected);
            }
        }
    }

    fn find(&self, expected: &str) -> Option<String> {
        let mut lines = self.lines.lock().unwrap();
        let from = lines.searched;
        let found = lines.all[from..]
            .iter()
            .position(|line| line.contains(expected));
        lines.searched = found.map_or(lines.all.len(), |at| from + at + 1);

        found.map(|at| lines.all[from + at].clone())
    }

    /// Whether a line since the last search contains this.
    pub fn has(&self, expected: &str) -> bool {
        self.find(expected).is_some()
    }

    pub fn all(&self) -> Vec<String> {
        self.lines.lock().unwrap().all.clone()
    }

    /// Waits until the output has ended.
    pub async fn ended(&self) {
        if let Some(mut count) = self.count.clone() {
            while count.changed().await.is_ok() {}
        }
    }

    /// The last lines, for the message of a test that fails.
    pub fn tail(&self) -> String {
        let lines = self.lines.lock().unwrap();
        let from = lines.all.len().saturating_sub(TAIL_LINES);

        lines.all[from..].join("\n")
    }
}
