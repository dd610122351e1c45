//! The explanation of a call record as text: its time line, then the conclusions.

use super::call_json::{direction_name, outcome_name, status_name};
use super::instant;
use crate::domain::device::Extension;
use crate::domain::explain::Line;
use crate::domain::record::{CallRecord, EndReason, Party};
use crate::domain::time::Span;

const NUMBER_WITHHELD: &str = "(number withheld)";

/// Direction, parties and outcome in one line.
#[must_use]
pub fn summary(record: &CallRecord) -> String {
    let outcome = record
        .outcome
        .map_or(status_name(record.status), outcome_name);

    format!(
        "{} {} -> {}, {outcome}",
        direction_name(record.direction),
        party_number(&record.from),
        party_number(&record.to)
    )
}

fn party_number(party: &Party) -> &str {
    party.number.as_deref().unwrap_or(NUMBER_WITHHELD)
}

/// The time line of a call with its conclusions.
#[must_use]
pub fn explanation(record: &CallRecord) -> String {
    let mut lines = vec![
        format!("Call {} of site {}", record.id, record.site.as_str()),
        format!(
            "{}, began {}",
            summary(record),
            instant::text(record.started_at)
        ),
        String::new(),
    ];

    for step in &record.trace {
        lines.push(step_line(record, step));
        lines.push(format!("{:>14}{}", "", step.rule.description()));
    }

    lines.push(String::new());
    lines.extend(conclusions(record));

    lines.push(String::new());
    lines.join("\n")
}

fn step_line(record: &CallRecord, step: &Line) -> String {
    let phone = step.extension.as_ref().map_or_else(
        || step.device.to_string(),
        |extension| format!("{extension} ({})", step.device),
    );
    let remote = match step.remote.raw() {
        "" => NUMBER_WITHHELD,
        number => number,
    };

    format!(
        "{:>+10.3} s  {phone}  {} {remote}  [{}]",
        seconds(step.at - record.started_at),
        step.kind.name(),
        step.rule.name()
    )
}

#[expect(
    clippy::cast_precision_loss,
    reason = "printed with three decimal places"
)]
fn seconds(span: Span) -> f64 {
    span.0 as f64 / 1_000_000.0
}

/// Answer, transfer, missed extensions, joins, links, end and confidence, one sentence each.
#[must_use]
pub fn conclusions(record: &CallRecord) -> Vec<String> {
    let mut lines = vec![answer(record)];
    lines.extend(transfer(record));
    lines.extend(missed_by(record));
    lines.extend(joins(record));
    lines.extend(links(record));
    lines.push(end(record));
    lines.extend(confidence(record));
    lines
}

fn answer(record: &CallRecord) -> String {
    let Some(at) = record.answered_at else {
        return "Not answered.".to_owned();
    };
    let after = seconds(at - record.started_at);

    match &record.answered_by {
        Some(owner) => {
            let phone = owner
                .extension
                .as_ref()
                .map_or_else(|| owner.device.to_string(), ToString::to_string);
            format!(
                "Answered by {phone} after {after:.3} s: the first phone that answered and kept \
                 the call."
            )
        }
        None => format!("Answered after {after:.3} s by the called party."),
    }
}

fn transfer(record: &CallRecord) -> Option<String> {
    let transfer = record.transfer.as_ref()?;
    let target = transfer.to.as_deref().unwrap_or("an unreported number");

    Some(format!(
        "Transfer ({}) to {target}: {}.",
        transfer.kind.name(),
        transfer.state.name()
    ))
}

fn missed_by(record: &CallRecord) -> Option<String> {
    if record.missed_extensions.is_empty() {
        return None;
    }

    let missed: Vec<&str> = record
        .missed_extensions
        .iter()
        .map(Extension::as_str)
        .collect();
    Some(format!("Missed by {}.", missed.join(", ")))
}

fn joins(record: &CallRecord) -> impl Iterator<Item = String> {
    record.joins.iter().map(|join| {
        let participant = join
            .extension
            .as_ref()
            .map_or_else(|| "A phone".to_owned(), ToString::to_string);
        format!(
            "{participant} joined the call ({}, confidence {}): {}.",
            join.kind.name(),
            join.confidence.name(),
            join.reason
        )
    })
}

fn links(record: &CallRecord) -> impl Iterator<Item = String> {
    record.links.iter().map(|link| {
        format!(
            "Linked to {} ({}, confidence {}): {}.",
            link.call,
            link.kind.name(),
            link.confidence.name(),
            link.reason
        )
    })
}

fn end(record: &CallRecord) -> String {
    match (record.total, record.end_reason) {
        (Some(total), Some(EndReason::LostHangup)) => format!(
            "Closed without a reported end; the last event came after {:.3} s.",
            seconds(total)
        ),
        (Some(total), _) => format!(
            "Talk {:.3} s, total {:.3} s.",
            seconds(record.talk),
            seconds(total)
        ),
        (None, _) => format!(
            "Open at this watermark, with status {}.",
            status_name(record.status)
        ),
    }
}

fn confidence(record: &CallRecord) -> Option<String> {
    let reason = record.reason?;

    Some(format!(
        "Confidence {}: {reason}.",
        record.confidence.name()
    ))
}
