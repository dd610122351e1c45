//! Facts from standard input: one JSON object per line. A bad line is reported with its number and
//! skipped; its neighbours are not harmed.

use std::io::{self, BufRead};

use super::failure::{Failure, say};
use super::sorter::{Sorted, Sorter};
use crate::domain::fact::Fact;
use crate::domain::time::At;
use crate::wire::fact_line;
use crate::wire::policy_file::Policies;

/// A longer line is no fact: a phone's request is never longer than 16 KiB.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Bad lines told one by one; the rest is only counted.
const TOLD_MAX: u64 = 100;

/// The facts of the input up to an instant, in their order, each once.
pub(super) struct Input {
    pub facts: Sorted,
    pub skipped: u64,
}

impl Input {
    /// Reads all of `source`.
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

/// The lines of the input, with what was wrong with some of them.
pub(super) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    number: u64,
    pub skipped: u64,
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

    /// The next good line and its fact; blank lines are passed over.
    pub(super) fn next_fact(&mut self, policies: &Policies) -> io::Result<Option<(Fact, &str)>> {
        loop {
            let Some(whole) = self.read_line()? else {
                return Ok(None);
            };
            let found = if whole {
                parse(&self.buffer, policies)
            } else {
                Err(format!("is longer than {LINE_BYTES_MAX} bytes"))
            };
            match found {
                Ok(None) => {}
                Ok(Some(fact)) => {
                    let line = str::from_utf8(&self.buffer).unwrap_or_default();
                    return Ok(Some((fact, line)));
                }
                Err(reason) => self.skip(&reason),
            }
        }
    }

    pub(super) fn skip(&mut self, reason: &str) {
        self.skipped += 1;
        if self.skipped <= TOLD_MAX {
            say(&format!("line {} {reason}", self.number));
        }
    }

    /// Reads one line into the buffer, without its end. `Some(false)` when it was too long to keep.
    fn read_line(&mut self) -> io::Result<Option<bool>> {
        self.buffer.clear();
        self.number += 1;
        let mut whole = true;
        let mut any = false;
        loop {
            let chunk = self.source.fill_buf()?;
            if chunk.is_empty() {
                return Ok(any.then_some(whole));
            }
            any = true;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(chunk.len());
            if self.buffer.len() + taken <= LINE_BYTES_MAX {
                self.buffer.extend_from_slice(&chunk[..taken]);
            } else {
                whole = false;
            }
            self.source.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(Some(whole));
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
