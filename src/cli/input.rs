//! Facts from standard input, one JSON object per line. An invalid line is reported with its number
//! and skipped; the other lines are read.

use std::io::{self, BufRead};

use super::failure::{Failure, print_error};
use super::sorter::{Sorted, Sorter};
use crate::domain::fact::Fact;
use crate::domain::time::At;
use crate::wire::fact_line;
use crate::wire::policy_file::Policies;

/// Longest line that may be a fact: four times the longest phone request, which has 16 KiB.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Invalid lines that are reported one by one; further ones are only counted.
const REPORTED_LINES_MAX: u64 = 100;

/// The facts of the input up to an instant, sorted and without duplicates.
pub(super) struct Input {
    pub facts: Sorted,
    pub skipped: u64,
}

impl Input {
    /// Reads `source` to its end.
    pub(super) fn read(
        source: impl BufRead,
        policies: &Policies,
        limit: Option<At>,
    ) -> Result<Input, Failure> {
        let mut lines = Lines::new(source);
        let mut sorter = Sorter::new(policies.clone());

        while let Some((fact, line)) = lines.next_fact(policies)? {
            if limit.is_none_or(|limit| fact.at <= limit) {
                sorter.push(fact, line)?;
            }
        }

        Ok(Input {
            facts: sorter.finish()?,
            skipped: lines.skipped,
        })
    }
}

/// The lines of the input, with the count of skipped ones.
pub(super) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    number: u64,
    pub skipped: u64,
}

/// A line of the input, after its bytes are consumed.
enum LineRead {
    /// The buffer contains the line.
    Complete,
    /// The line exceeds [`LINE_BYTES_MAX`].
    TooLong,
    EndOfInput,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R) -> Lines<R> {
        Lines {
            source,
            buffer: Vec::new(),
            number: 0,
            skipped: 0,
        }
    }

    /// The next valid line and its fact. Blank lines are ignored.
    pub(super) fn next_fact(&mut self, policies: &Policies) -> io::Result<Option<(Fact, &str)>> {
        loop {
            let parsed = match self.read_line()? {
                LineRead::EndOfInput => return Ok(None),
                LineRead::Complete => parse(&self.buffer, policies),
                LineRead::TooLong => Err(format!("is longer than {LINE_BYTES_MAX} bytes")),
            };

            match parsed {
                Ok(None) => {}
                Ok(Some(fact)) => {
                    let line = str::from_utf8(&self.buffer).unwrap_or_default();
                    return Ok(Some((fact, line)));
                }
                Err(reason) => self.skip(&reason),
            }
        }
    }

    /// Counts and reports the current line as skipped.
    pub(super) fn skip(&mut self, reason: &str) {
        self.skipped += 1;
        if self.skipped <= REPORTED_LINES_MAX {
            print_error(&format!("line {} {reason}", self.number));
        }
    }

    /// Reads one line into the buffer, without its line feed.
    fn read_line(&mut self) -> io::Result<LineRead> {
        self.buffer.clear();
        self.number += 1;
        let mut complete = true;
        let mut empty = true;

        loop {
            let chunk = self.source.fill_buf()?;
            if chunk.is_empty() && empty {
                return Ok(LineRead::EndOfInput);
            }
            empty = false;

            let end = chunk.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(chunk.len());
            if self.buffer.len() + length <= LINE_BYTES_MAX {
                self.buffer.extend_from_slice(&chunk[..length]);
            } else {
                complete = false;
            }

            let last = chunk.is_empty() || end.is_some();
            self.source.consume(length + usize::from(end.is_some()));
            if last {
                return Ok(if complete {
                    LineRead::Complete
                } else {
                    LineRead::TooLong
                });
            }
        }
    }
}

fn parse(line: &[u8], policies: &Policies) -> Result<Option<Fact>, String> {
    let text = str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
    if text.trim().is_empty() {
        return Ok(None);
    }

    fact_line::parse(text, |site| policies.of(site))
        .map(Some)
        .map_err(|error| error.to_string())
}
