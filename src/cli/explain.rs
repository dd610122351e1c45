//! `cordboard explain`: prints the time line of one call, with the rule behind every decision.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use super::failure::Failure;
use super::input::Input;
use super::options::InputArguments;
use crate::domain::fact::Site;
use crate::domain::record::CallRecord;
use crate::domain::time::At;
use crate::domain::timeline::Replay;
use crate::wire::explanation::{explanation, summary};
use crate::wire::instant;

/// Calls listed when the argument does not select exactly one.
const LISTED_CALLS_MAX: usize = 50;

/// Explain why a call record is as it is
///
/// Reads the same facts as `reconstruct` and explains one call: every fact of the call, its effect,
/// and the rule behind it. The input may contain facts of other calls.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Id of the call, or its first characters, as `reconstruct` prints it. Optional if the facts
    /// make only one call
    call: Option<String>,

    #[command(flatten)]
    input: InputArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let policies = arguments.input.policies()?;
    let limit = arguments.input.limit()?;
    let mut input = Input::read(io::stdin().lock(), &policies, limit)?;

    let mut sites: BTreeMap<Site, Replay> = BTreeMap::new();
    while let Some(fact) = input.facts.next_fact()? {
        let new =
            || Replay::with_explanations(fact.site.clone(), Arc::clone(policies.of(&fact.site)));
        sites
            .entry(fact.site.clone())
            .or_insert_with(new)
            .step(&fact);
    }

    let mut records: Vec<CallRecord> = Vec::new();
    for site in sites.values_mut() {
        let watermark = limit.unwrap_or(At::END);
        records.extend(site.advance(watermark));
        records.extend(site.open_calls(watermark));
    }
    records.sort_by_key(|record| (record.started_at, record.id));

    let record = select(&records, arguments.call.as_deref())?;
    io::stdout()
        .lock()
        .write_all(explanation(record).as_bytes())?;

    if input.skipped > 0 {
        Err(Failure::BadInput {
            skipped: input.skipped,
        })
    } else {
        Ok(())
    }
}

/// The one call whose id begins with `prefix`, or the only call.
fn select<'r>(records: &'r [CallRecord], prefix: Option<&str>) -> Result<&'r CallRecord, Failure> {
    let matches = |record: &&CallRecord| {
        prefix.is_none_or(|prefix| {
            record
                .id
                .to_string()
                .starts_with(&prefix.to_ascii_lowercase())
        })
    };
    let matching: Vec<&CallRecord> = records.iter().filter(matches).collect();

    match (matching.as_slice(), prefix) {
        ([one], _) => Ok(one),
        ([], None) => Err(Failure::Usage("the facts make no call".to_owned())),
        ([], Some(prefix)) => Err(Failure::Usage(format!(
            "no call id begins with {prefix:?}; calls of these facts:\n{}",
            list(&records.iter().collect::<Vec<_>>())
        ))),
        (several, _) => Err(Failure::Usage(format!(
            "several calls match; give the id of one:\n{}",
            list(several)
        ))),
    }
}

fn list(records: &[&CallRecord]) -> String {
    let mut text = String::new();

    for record in records.iter().take(LISTED_CALLS_MAX) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {}  {}  {}",
            record.id,
            instant::text(record.started_at),
            summary(record)
        );
    }
    if records.len() > LISTED_CALLS_MAX {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  and {} more", records.len() - LISTED_CALLS_MAX);
    }

    text
}
