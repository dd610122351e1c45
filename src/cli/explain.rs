//! `cordboard explain`: one call's time line, which fact did what, and which rule decided, in plain
//! words.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use super::InputArguments;
use super::failure::Failure;
use super::input::Input;
use crate::domain::device::Extension;
use crate::domain::explain::Line;
use crate::domain::fact::Site;
use crate::domain::record::{CallRecord, EndReason, Party};
use crate::domain::time::{At, Span};
use crate::domain::timeline::Replay;
use crate::wire::call_json::{direction_name, outcome_name, status_name};
use crate::wire::instant;

/// Calls listed when it is not clear which one is meant.
const LISTED_MAX: usize = 50;

/// Say why a call record is as it is
///
/// Reads the same facts as `reconstruct` and tells the story of one call: every fact that belongs
/// to it, what it changed, and the rule that decided so. The facts may hold other calls too.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The call: the beginning of its id, as `reconstruct` prints it. May be left out when the
    /// facts hold only one call
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
    let record = choose(&records, arguments.call.as_deref())?;
    io::stdout().lock().write_all(story(record).as_bytes())?;
    if input.skipped > 0 {
        Err(Failure::BadInput {
            skipped: input.skipped,
        })
    } else {
        Ok(())
    }
}

fn choose<'r>(records: &'r [CallRecord], wanted: Option<&str>) -> Result<&'r CallRecord, Failure> {
    let fits = |record: &&CallRecord| {
        wanted.is_none_or(|wanted| {
            record
                .id
                .to_string()
                .starts_with(&wanted.to_ascii_lowercase())
        })
    };
    let fitting: Vec<&CallRecord> = records.iter().filter(fits).collect();
    match (fitting.as_slice(), wanted) {
        ([one], _) => Ok(one),
        ([], None) => Err(Failure::Usage("the facts hold no call".to_owned())),
        ([], Some(wanted)) => Err(Failure::Usage(format!(
            "no call begins with {wanted:?}; the facts hold these:\n{}",
            list(&records.iter().collect::<Vec<_>>())
        ))),
        (several, _) => Err(Failure::Usage(format!(
            "say which call:\n{}",
            list(several)
        ))),
    }
}

fn list(records: &[&CallRecord]) -> String {
    let mut text = String::new();
    for record in records.iter().take(LISTED_MAX) {
        let _infallible = writeln!(
            text,
            "  {}  {}  {}",
            record.id,
            instant::text(record.started_at),
            summary(record)
        );
    }
    if records.len() > LISTED_MAX {
        let _infallible = writeln!(text, "  and {} more", records.len() - LISTED_MAX);
    }
    text
}

fn summary(record: &CallRecord) -> String {
    let outcome = record
        .outcome
        .map_or(status_name(record.status), outcome_name);
    format!(
        "{} {} -> {}, {outcome}",
        direction_name(record.direction),
        shown(&record.from),
        shown(&record.to)
    )
}

fn shown(party: &Party) -> &str {
    party.number.as_deref().unwrap_or("(number withheld)")
}

fn story(record: &CallRecord) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    line(format!(
        "Call {} of site {}",
        record.id,
        record.site.as_str()
    ));
    line(format!(
        "{}, began {}",
        summary(record),
        instant::text(record.started_at)
    ));
    line(String::new());
    for step in &record.trace {
        line(step_line(record, step));
        line(format!("{:>14}{}", "", step.rule.words()));
    }
    line(String::new());
    for words in conclusion(record) {
        line(words);
    }
    text
}

fn step_line(record: &CallRecord, step: &Line) -> String {
    let who = step.extension.as_ref().map_or_else(
        || step.device.to_string(),
        |own| format!("{own} ({})", step.device),
    );
    let remote = if step.remote.raw().is_empty() {
        "(number withheld)"
    } else {
        step.remote.raw()
    };
    format!(
        "{:>+10.3} s  {who}  {} {remote}  [{}]",
        seconds(step.at - record.started_at),
        step.kind.name(),
        step.rule.name()
    )
}

#[expect(
    clippy::cast_precision_loss,
    reason = "shown with three digits behind the point"
)]
fn seconds(span: Span) -> f64 {
    span.0 as f64 / 1_000_000.0
}

fn conclusion(record: &CallRecord) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |words: String| lines.push(words);
    match (&record.answered_by, record.answered_at) {
        (Some(owner), Some(at)) => {
            let who = owner
                .extension
                .as_ref()
                .map_or_else(|| owner.device.to_string(), ToString::to_string);
            line(format!(
                "Answered by {who} after {:.3} s: the first phone that answered and kept the call.",
                seconds(at - record.started_at)
            ));
        }
        (None, Some(at)) => line(format!(
            "Answered after {:.3} s by the party that was called.",
            seconds(at - record.started_at)
        )),
        (_, None) => line("Nobody answered.".to_owned()),
    }
    if let Some(transfer) = &record.transfer {
        let to = transfer.to.as_deref().unwrap_or("a number no phone named");
        line(format!(
            "Transfer ({}) to {to}: {}.",
            transfer.kind.name(),
            transfer.state.name()
        ));
    }
    if !record.missed_extensions.is_empty() {
        let missed: Vec<&str> = record
            .missed_extensions
            .iter()
            .map(Extension::as_str)
            .collect();
        line(format!("Missed by {}.", missed.join(", ")));
    }
    for join in &record.joins {
        let who = join
            .extension
            .as_ref()
            .map_or_else(|| "a phone".to_owned(), ToString::to_string);
        line(format!(
            "{who} belongs to it ({}, confidence {}): {}.",
            join.kind.name(),
            join.confidence.name(),
            join.reason
        ));
    }
    for link in &record.links {
        line(format!(
            "Linked to {} ({}, confidence {}): {}.",
            link.call,
            link.kind.name(),
            link.confidence.name(),
            link.reason
        ));
    }
    match (record.total, record.end_reason) {
        (Some(total), Some(EndReason::LostHangup)) => {
            line(format!(
                "Closed without a reported end; the last sign of it came after {:.3} s.",
                seconds(total)
            ));
        }
        (Some(total), _) => line(format!(
            "Talk {:.3} s, total {:.3} s.",
            seconds(record.talk),
            seconds(total)
        )),
        (None, _) => line(format!(
            "Not over at this watermark: {}.",
            status_name(record.status)
        )),
    }
    if let Some(reason) = record.reason {
        line(format!(
            "Confidence {}: {reason}.",
            record.confidence.name()
        ));
    }
    lines
}
