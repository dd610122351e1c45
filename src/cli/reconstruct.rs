//! `cordboard reconstruct`: folds facts into final call records with the core of the service,
//! without any server.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use super::failure::Failure;
use super::input::{Input, Lines};
use super::options::InputArguments;
use crate::domain::fact::{Fact, Site};
use crate::domain::record::CallRecord;
use crate::domain::time::{At, Span};
use crate::domain::timeline::Replay;
use crate::wire::call_json::CallJson;
use crate::wire::policy_file::Policies;

/// Facts folded between two advances of the watermark, at which final records are written.
const FACTS_PER_ADVANCE: u32 = 256;

/// Fold facts into call records
///
/// Reads facts from standard input, one JSON object per line:
///
/// {"at":"2026-01-01T00:00:00.110Z","event":"incoming","mac":"000b82000001","remote":"1045"}
///
/// and writes one call record per line. `at`, `event` and `mac` are required; `site`, `local`,
/// `remote`, `call_id`, `event_id` and every request parameter of a phone are optional. The lines
/// may be in any order and may be repeated. An invalid line is reported with its number and
/// skipped.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    input: InputArguments,

    /// The input is sorted by time: write each record as soon as it is final, instead of sorting
    /// first. A line out of order is skipped
    #[arg(long)]
    sorted: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let policies = arguments.input.policies()?;
    let limit = arguments.input.limit()?;

    let mut calls = Calls::new(policies.clone(), BufWriter::new(io::stdout().lock()));
    let skipped = if arguments.sorted {
        let mut lines = Lines::new(io::stdin().lock());
        follow(&mut lines, &policies, limit, &mut calls)?;
        lines.skipped
    } else {
        let mut input = Input::read(io::stdin().lock(), &policies, limit)?;
        while let Some(fact) = input.facts.next_fact()? {
            calls.step(&fact)?;
        }
        input.skipped
    };
    calls.finish(limit)?;

    if skipped > 0 {
        Err(Failure::BadInput { skipped })
    } else {
        Ok(())
    }
}

/// Folds lines in the order of the input. Facts of one instant may be in any order: they are sorted
/// before they are folded.
fn follow<R: io::BufRead, W: Write>(
    lines: &mut Lines<R>,
    policies: &Policies,
    limit: Option<At>,
    calls: &mut Calls<W>,
) -> io::Result<()> {
    let mut instant: Vec<Fact> = Vec::new();

    while let Some((fact, _)) = lines.next_fact(policies)? {
        if limit.is_some_and(|limit| fact.at > limit) {
            continue;
        }

        match instant.first().map(|first| first.at) {
            Some(at) if fact.at < at => lines.skip("is earlier than the line before it"),
            Some(at) if fact.at > at => {
                fold_instant(&mut instant, calls)?;
                instant.push(fact);
            }
            _ => instant.push(fact),
        }
    }

    fold_instant(&mut instant, calls)
}

fn fold_instant<W: Write>(facts: &mut Vec<Fact>, calls: &mut Calls<W>) -> io::Result<()> {
    facts.sort_by_key(Fact::key);
    facts.dedup_by_key(|fact| fact.key());
    facts.drain(..).try_for_each(|fact| calls.step(&fact))
}

/// The calls of every site, and the output of their records.
struct Calls<W: Write> {
    policies: Policies,
    sites: BTreeMap<Site, Replay>,
    out: W,
    facts_since_advance: u32,
}

impl<W: Write> Calls<W> {
    fn new(policies: Policies, out: W) -> Calls<W> {
        Calls {
            policies,
            sites: BTreeMap::new(),
            out,
            facts_since_advance: 0,
        }
    }

    fn step(&mut self, fact: &Fact) -> io::Result<()> {
        let site = match self.sites.get_mut(&fact.site) {
            Some(site) => site,
            None => self.sites.entry(fact.site.clone()).or_insert_with(|| {
                Replay::new(fact.site.clone(), Arc::clone(self.policies.of(&fact.site)))
            }),
        };
        site.step(fact);

        self.facts_since_advance += 1;
        if self.facts_since_advance >= FACTS_PER_ADVANCE {
            self.facts_since_advance = 0;
            self.advance(fact.at - Span(1))?;
        }

        Ok(())
    }

    /// Writes the records that are final at a watermark. The caller has folded every fact up to and
    /// including this instant.
    fn advance(&mut self, watermark: At) -> io::Result<()> {
        for site in self.sites.values_mut() {
            write_all(&mut self.out, &site.advance(watermark))?;
        }
        self.out.flush()
    }

    fn finish(mut self, limit: Option<At>) -> io::Result<()> {
        self.advance(limit.unwrap_or(At::END))?;

        if let Some(limit) = limit {
            for site in self.sites.values() {
                let mut open = site.open_calls(limit);
                open.sort_by_key(|record| (record.started_at, record.id));
                write_all(&mut self.out, &open)?;
            }
        }

        self.out.flush()
    }
}

fn write_all(out: &mut impl Write, records: &[CallRecord]) -> io::Result<()> {
    for record in records {
        serde_json::to_writer(&mut *out, &CallJson::of(record))?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
