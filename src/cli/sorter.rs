//! An external merge sort of facts that also removes duplicates.
//!
//! Memory is bounded: runs of [`RUN_FACTS`] facts are sorted, written to an unnamed temporary file,
//! and merged. The file vanishes with the process.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::sync::Arc;

use crate::domain::fact::{Fact, FactKey};
use crate::wire::fact_line;
use crate::wire::policy_file::Policies;

/// Facts in memory before they are written as a run.
const RUN_FACTS: usize = 50_000;
/// Read buffer of each run during the merge.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// Collects facts in any order.
pub(super) struct Sorter {
    policies: Policies,
    buffered: Vec<(Fact, Box<str>)>,
    runs: Vec<Run>,
    spill: Option<File>,
}

/// A section of the temporary file with sorted lines.
#[derive(Clone, Copy)]
struct Run {
    from: u64,
    to: u64,
}

impl Sorter {
    pub(super) fn new(policies: Policies) -> Sorter {
        Sorter {
            policies,
            buffered: Vec::new(),
            runs: Vec::new(),
            spill: None,
        }
    }

    /// Adds a fact and its input line.
    pub(super) fn push(&mut self, fact: Fact, line: &str) -> io::Result<()> {
        self.buffered.push((fact, line.into()));

        if self.buffered.len() >= RUN_FACTS {
            self.write_run()
        } else {
            Ok(())
        }
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.buffered.sort_by_key(|(fact, _)| fact.key());
        let mut file = match self.spill.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };

        let from = file.seek(SeekFrom::End(0))?;
        let mut writer = io::BufWriter::new(&mut file);
        for (_, line) in self.buffered.drain(..) {
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

    /// Begins the merge of all runs.
    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        self.buffered.sort_by_key(|(fact, _)| fact.key());
        let mut sources = vec![Source::Memory(self.buffered.into_iter())];
        if let Some(file) = self.spill {
            let file = Arc::new(file);
            for run in self.runs {
                let reader = RunReader {
                    file: Arc::clone(&file),
                    position: run.from,
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
            heads: BinaryHeap::new(),
            last: None,
        };
        for index in 0..sorted.sources.len() {
            sorted.load_head(index)?;
        }

        Ok(sorted)
    }
}

enum Source {
    Memory(std::vec::IntoIter<(Fact, Box<str>)>),
    Run(BufReader<RunReader>),
}

/// Reads one run by position, because all runs share one file.
struct RunReader {
    file: Arc<File>,
    position: u64,
    to: u64,
}

impl io::Read for RunReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;

        let rest = usize::try_from(self.to - self.position).unwrap_or(usize::MAX);
        let length = buffer.len().min(rest);
        let read = self.file.read_at(&mut buffer[..length], self.position)?;
        self.position += read as u64;

        Ok(read)
    }
}

/// The next fact of a source. The order of heads is the order of their facts.
struct Head {
    key: FactKey,
    source: usize,
    fact: Fact,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        (self.key, self.source) == (other.key, other.source)
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.key, self.source).cmp(&(other.key, other.source))
    }
}

/// Sorted facts without duplicates.
pub(super) struct Sorted {
    policies: Policies,
    sources: Vec<Source>,
    heads: BinaryHeap<Reverse<Head>>,
    last: Option<FactKey>,
}

impl Sorted {
    pub(super) fn next_fact(&mut self) -> io::Result<Option<Fact>> {
        while let Some(Reverse(head)) = self.heads.pop() {
            self.load_head(head.source)?;

            if self.last != Some(head.key) {
                self.last = Some(head.key);
                return Ok(Some(head.fact));
            }
        }

        Ok(None)
    }

    fn load_head(&mut self, source: usize) -> io::Result<()> {
        let fact = match &mut self.sources[source] {
            Source::Memory(facts) => facts.next().map(|(fact, _)| fact),
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
            self.heads.push(Reverse(Head {
                key: fact.key(),
                source,
                fact,
            }));
        }

        Ok(())
    }
}
