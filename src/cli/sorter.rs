//! Facts in any order into facts in their order, each once, with bounded memory: runs of a fixed
//! number of facts are sorted, written to an unnamed temporary file, and merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::sync::Arc;

use crate::domain::fact::{Fact, FactKey};
use crate::wire::fact_line;
use crate::wire::policy_file::Policies;

/// Facts held in memory before a run is written out.
const RUN_FACTS: usize = 50_000;
/// What each run reads ahead while runs are merged.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// Takes facts in any order.
pub(super) struct Sorter {
    policies: Policies,
    held: Vec<(Fact, Box<str>)>,
    runs: Vec<Run>,
    spill: Option<File>,
}

/// A stretch of the temporary file that holds sorted lines.
#[derive(Clone, Copy)]
struct Run {
    from: u64,
    to: u64,
}

impl Sorter {
    pub(super) fn new(policies: Policies) -> Sorter {
        Sorter {
            policies,
            held: Vec::new(),
            runs: Vec::new(),
            spill: None,
        }
    }

    /// Takes a fact and the line it was read from.
    pub(super) fn push(&mut self, fact: Fact, line: &str) -> io::Result<()> {
        self.held.push((fact, line.into()));
        if self.held.len() >= RUN_FACTS {
            self.write_run()
        } else {
            Ok(())
        }
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.held.sort_by_key(|(fact, _)| fact.key());
        let mut file = match self.spill.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let from = file.seek(SeekFrom::End(0))?;
        let mut writer = io::BufWriter::new(&mut file);
        for (_, line) in self.held.drain(..) {
            writer.write_all(line.as_bytes())?;
            writer.write_all(b"\n")?;
        }
        writer.flush()?;
        drop(writer);
        let to = file.stream_position()?;
        self.runs.push(Run { from, to });
        self.spill = Some(file);
        Ok(())
    }

    /// The facts in their order.
    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        self.held.sort_by_key(|(fact, _)| fact.key());
        let mut sources = vec![Source::Held(self.held.into_iter())];
        if let Some(file) = self.spill {
            let file = Arc::new(file);
            for run in self.runs {
                let reader = RunReader {
                    file: Arc::clone(&file),
                    at: run.from,
                    to: run.to,
                };
                sources.push(Source::Run(BufReader::with_capacity(
                    READ_AHEAD_BYTES,
                    reader,
                )));
            }
        }
        let mut sorted = Sorted {
            policies: self.policies,
            sources,
            next: BinaryHeap::new(),
            last: None,
        };
        for index in 0..sorted.sources.len() {
            sorted.refill(index)?;
        }
        Ok(sorted)
    }
}

enum Source {
    Held(std::vec::IntoIter<(Fact, Box<str>)>),
    Run(BufReader<RunReader>),
}

/// Reads one run without moving the position that the runs share.
struct RunReader {
    file: Arc<File>,
    at: u64,
    to: u64,
}

impl io::Read for RunReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let left = usize::try_from(self.to - self.at).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The next fact of each source, the earliest first.
struct Waiting {
    key: FactKey,
    source: usize,
    fact: Fact,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        (self.key, self.source) == (other.key, other.source)
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.key, self.source).cmp(&(other.key, other.source))
    }
}

/// Facts in their order, each once.
pub(super) struct Sorted {
    policies: Policies,
    sources: Vec<Source>,
    next: BinaryHeap<Reverse<Waiting>>,
    last: Option<FactKey>,
}

impl Sorted {
    pub(super) fn next_fact(&mut self) -> io::Result<Option<Fact>> {
        while let Some(Reverse(waiting)) = self.next.pop() {
            self.refill(waiting.source)?;
            if self.last != Some(waiting.key) {
                self.last = Some(waiting.key);
                return Ok(Some(waiting.fact));
            }
        }
        Ok(None)
    }

    fn refill(&mut self, source: usize) -> io::Result<()> {
        let fact = match &mut self.sources[source] {
            Source::Held(facts) => facts.next().map(|(fact, _)| fact),
            Source::Run(reader) => {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                if line.is_empty() {
                    None
                } else {
                    Some(
                        fact_line::parse(&line, |site| self.policies.of(site))
                            .map_err(io::Error::other)?,
                    )
                }
            }
        };
        if let Some(fact) = fact {
            self.next.push(Reverse(Waiting {
                key: fact.key(),
                source,
                fact,
            }));
        }
        Ok(())
    }
}
