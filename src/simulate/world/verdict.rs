//! What a service made of a day, compared with what really happened.
//!
//! What phones alone cannot know counts as right: which of several phones that ring together is
//! asked first; the beginning of a ring before the first phone rings; and of a transfer that the
//! record does not prove, whether it was attended or blind.
//!
//! Some scenes give reports that permit several readings, which `TrueCall::readings` lists:
//!
//! - A party parked in a slot, and a phone that dials the slot: one call, or two, unless the
//!   display of that phone names the party. A parked party that rings at the parker again: the
//!   same call, or a second one.
//! - Click-to-call to a number outside: a call of this number. Click-to-call that the caller does
//!   not take: a ring of any colleague.
//! - A queue that is silent for longer than a pause between rounds, or a group that overflows
//!   after an announcement: one call, or two of one number.
//! - Two calls of one number, or of two withheld ones, of which one is not answered: one call that
//!   rings at several phones, is forwarded, or is transferred in vain.
//! - A mailbox, an announcement or a person outside that answers a colleague for longer than an
//!   announcement: answered, or not.
//! - A member of a group that refuses at once: one that missed the call, or not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use super::truth::TrueCall;
use super::{Micros, SECOND};

/// Durations may differ by this much.
const TOLERANCE_SECONDS: f64 = 0.5;
/// A record and the call that it records begin together.
const BEGIN_APART_MAX: Micros = 2 * SECOND;

/// The result of days.
#[derive(Clone, Debug, Default)]
pub struct Score {
    pub calls: u64,
    pub recorded: u64,
    pub exact: u64,
    /// Calls of which no report was lost, and those of them that are exact.
    pub whole: u64,
    pub whole_exact: u64,
    /// Exact calls of which the record follows another reading of the reports.
    pub other_reading: u64,
    pub unanswered: u64,
    pub false_missed: u64,
    pub lost_missed: u64,
    /// Records beside the one of their call.
    pub split: u64,
    /// Calls without a record of their own.
    pub merged: u64,
    pub transfers: u64,
    pub transfers_found: u64,
    pub transfers_claimed: u64,
    pub transfers_real: u64,
    /// By the kind of scene: calls, and exact ones.
    pub kinds: BTreeMap<&'static str, (u64, u64)>,
    /// Wrong records, each with the number of lost reports of its call.
    pub examples: Vec<(u32, String)>,
    /// How many of them are shown: those first of which least was lost.
    pub examples_shown: usize,
}

/// A record, as the API shows it.
struct Recorded<'r> {
    value: &'r Value,
    from: String,
    started: Micros,
}

impl<'r> Recorded<'r> {
    fn of(value: &'r Value) -> Option<Recorded<'r>> {
        let started = value["started_at"]
            .as_str()?
            .parse::<Timestamp>()
            .ok()?
            .as_microsecond();
        let number = value["from"]["number"].as_str().unwrap_or("");

        Some(Recorded {
            value,
            from: tail(number).to_owned(),
            started,
        })
    }

    fn text(&self, field: &str) -> &str {
        self.value[field].as_str().unwrap_or("")
    }

    fn is_missed(&self) -> bool {
        self.text("outcome") == "missed"
    }

    fn transfer(&self) -> Option<(&str, &str, &str)> {
        let transfer = self.value.get("transfer").filter(|it| !it.is_null())?;
        let part = |name: &str| transfer[name].as_str().unwrap_or("");

        Some((part("kind"), part("state"), part("to")))
    }
}

/// The last digits, which all spellings of a number share.
fn tail(number: &str) -> &str {
    let is_number = number.bytes().any(|byte| byte.is_ascii_digit());
    let start = if number.contains('*') {
        0
    } else {
        number.len().saturating_sub(7)
    };

    number.get(start..).filter(|_| is_number).unwrap_or("")
}

/// Compares the records of a site with its calls, which began at `epoch`.
pub fn judge(seed: u64, calls: &[TrueCall], records: &[Value], epoch: Micros, score: &mut Score) {
    let recorded: Vec<Recorded<'_>> = records.iter().filter_map(Recorded::of).collect();
    let mut taken = vec![false; recorded.len()];
    let mut by_start: Vec<usize> = (0..calls.len()).collect();
    by_start.sort_by_key(|place| calls[*place].started);

    score.calls += calls.len() as u64;
    score.recorded += recorded.len() as u64;
    for place in by_start {
        let call = &calls[place];
        if call.joined_with.is_some() {
            continue;
        }
        let joined = calls.iter().filter(|it| it.joined_with == Some(place));
        let group: Vec<&TrueCall> = std::iter::once(call).chain(joined).collect();
        judge_group(seed, &group, &recorded, &mut taken, epoch, score);
    }

    for record in recorded.iter().zip(&taken).filter(|(_, taken)| !**taken) {
        let (record, _) = record;
        // A code that was dialled in vain is a call of its own.
        if record.value["to"]["number"]
            .as_str()
            .is_some_and(|to| to.starts_with('*'))
        {
            continue;
        }
        score.split += 1;
        score.false_missed += u64::from(record.is_missed());
        if record.transfer().is_some() {
            score.transfers_claimed += 1;
        }
        let example = format!("seed {seed}: no such call: {}", short(record.value));
        score.examples.push((0, example));
    }
}

fn nearest(
    call: &TrueCall,
    recorded: &[Recorded<'_>],
    taken: &[bool],
    epoch: Micros,
) -> Option<usize> {
    let apart = |record: &Recorded<'_>| (record.started - epoch - call.started).abs();
    let fits = |place: &usize| {
        let record = &recorded[*place];
        !taken[*place] && record.from == tail(&call.from) && apart(record) <= BEGIN_APART_MAX
    };

    (0..recorded.len())
        .filter(fits)
        .min_by_key(|place| apart(&recorded[*place]))
}

/// Compares calls that share their readings with the records.
fn judge_group(
    seed: u64,
    group: &[&TrueCall],
    recorded: &[Recorded<'_>],
    taken: &mut [bool],
    epoch: Micros,
    score: &mut Score,
) {
    let found = find(group, recorded, taken, epoch);
    let exact = |(call, own): (&&TrueCall, &Option<usize>)| {
        own.is_some_and(|own| differences(call, &recorded[own]).is_empty())
    };
    let is_exact = group.iter().zip(&found).all(exact);
    let other = group[0].readings.iter().filter(|_| !is_exact);
    let other = other
        .map(|reading| reading.iter().collect::<Vec<_>>())
        .map(|calls| (find(&calls, recorded, taken, epoch), calls))
        .find(|(found, calls)| calls.iter().zip(found).all(exact));

    let (found, calls) = if let Some(reading) = other {
        for call in group {
            count_exact(call, true, score);
        }
        score.other_reading += group.len() as u64;
        reading
    } else {
        for (call, own) in group.iter().zip(&found) {
            let record = own.map(|own| &recorded[own]);
            count_differences(seed, call, record, score);
        }
        (found, group.to_vec())
    };
    for (call, own) in calls.iter().zip(found) {
        count_call(call, own.map(|own| &recorded[own]), score);
        if let Some(own) = own {
            taken[own] = true;
        }
    }
}

/// The record of each call.
fn find(
    calls: &[&TrueCall],
    recorded: &[Recorded<'_>],
    taken: &[bool],
    epoch: Micros,
) -> Vec<Option<usize>> {
    let mut taken = taken.to_vec();
    let own = |call: &&TrueCall| {
        let own = nearest(call, recorded, &taken, epoch)?;
        taken[own] = true;
        Some(own)
    };

    calls.iter().map(own).collect()
}

fn count_exact(call: &TrueCall, is_exact: bool, score: &mut Score) {
    score.exact += u64::from(is_exact);
    if call.lost_reports == 0 {
        score.whole += 1;
        score.whole_exact += u64::from(is_exact);
    }
    let kind = score.kinds.entry(call.kind).or_default();
    kind.0 += 1;
    kind.1 += u64::from(is_exact);
}

fn count_call(call: &TrueCall, record: Option<&Recorded<'_>>, score: &mut Score) {
    score.merged += u64::from(record.is_none());
    let is_recorded_missed = record.is_some_and(Recorded::is_missed);
    score.unanswered += u64::from(call.is_missed());
    score.lost_missed += u64::from(call.is_missed() && !is_recorded_missed);
    score.false_missed += u64::from(!call.is_missed() && is_recorded_missed);
    count_transfer(call, record, score);
}

fn count_differences(seed: u64, call: &TrueCall, record: Option<&Recorded<'_>>, score: &mut Score) {
    let wrong = match record {
        Some(record) => differences(call, record),
        None => vec!["it has no record".to_owned()],
    };
    count_exact(call, wrong.is_empty(), score);

    if !wrong.is_empty() {
        let seconds = call.started / SECOND;
        let shown = record.map_or_else(String::new, |record| short(record.value));
        score.examples.push((
            call.lost_reports,
            format!(
                "seed {seed}: {} at {seconds} s, {} reports lost: {}; {shown}; true: {}",
                call.kind,
                call.lost_reports,
                wrong.join(", "),
                true_text(call)
            ),
        ));
    }
}

fn count_transfer(call: &TrueCall, record: Option<&Recorded<'_>>, score: &mut Score) {
    let truth = call.transfer.as_ref().filter(|it| it.state == "completed");
    let claimed = record
        .and_then(Recorded::transfer)
        .filter(|(_, state, _)| *state == "completed");
    let agree = truth
        .zip(claimed)
        .is_some_and(|(truth, (_, _, to))| truth.to == to);

    score.transfers += u64::from(truth.is_some());
    score.transfers_claimed += u64::from(claimed.is_some());
    score.transfers_found += u64::from(agree);
    score.transfers_real += u64::from(agree);
}

/// What is wrong in a record.
fn differences(call: &TrueCall, record: &Recorded<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |name: &str, right: bool, found: &str| {
        if !right {
            wrong.push(format!("{name} {found}"));
        }
    };

    let direction = record.text("direction");
    expect("direction", direction == call.direction, direction);
    let outcome = record.text("outcome");
    expect("outcome", outcome == call.outcome, outcome);
    let to = record.value["to"]["number"].as_str().unwrap_or("");
    let is_called = call.to.iter().any(|called| tail(called) == tail(to));
    expect("to", is_called, to);
    let owner = record.value["answered_by"]["extension"].as_str();
    let is_owner = owner.map_or(call.answered_by.is_empty(), |owner| {
        call.answered_by.contains(owner)
    });
    expect("answered by", is_owner, owner.unwrap_or("-"));

    let answered = call.answered.unwrap_or(call.ended);
    let talk = call.answered.map_or(0, |answered| call.ended - answered);
    for (name, truth) in [
        ("ring_seconds", answered - call.started),
        ("talk_seconds", talk),
    ] {
        let found = record.value[name].as_f64().unwrap_or(-1.0);
        let right = (found - seconds(truth)).abs() <= TOLERANCE_SECONDS;
        expect(name, right, &format!("{found} not {}", seconds(truth)));
    }

    let missed: Vec<&str> = record.value["missed_extensions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let all = call.missed.iter().all(|one| missed.contains(&one.as_str()));
    let as_many = missed.len() == call.missed.len();
    let is_right = call.outcome != "missed" || (all && as_many);
    expect("missed", is_right, &missed.join("+"));

    let transfer = record.transfer();
    let right = match (&call.transfer, transfer) {
        (None, None) => true,
        (Some(truth), Some((kind, state, to))) => {
            truth.kinds.contains(&kind) && truth.state == state && truth.to == to
        }
        // A consultation or a transfer in vain leaves the record as it was.
        (Some(truth), None) => truth.state != "completed",
        (None, Some(_)) => false,
    };
    expect("transfer", right, &format!("{transfer:?}"));

    wrong
}

#[expect(clippy::cast_precision_loss, reason = "a day has few seconds")]
fn seconds(micros: Micros) -> f64 {
    micros as f64 / 1e6
}

fn short(record: &Value) -> String {
    let party = |name: &str| record[name]["number"].as_str().unwrap_or("-").to_owned();

    format!(
        "{} {} {} -> {} at {}, ring {} talk {}, transfer {}",
        record["direction"].as_str().unwrap_or("-"),
        record["outcome"].as_str().unwrap_or("-"),
        party("from"),
        party("to"),
        record["started_at"].as_str().unwrap_or("-"),
        record["ring_seconds"],
        record["talk_seconds"],
        record["transfer"],
    )
}

/// A call as `short` shows records.
fn true_text(call: &TrueCall) -> String {
    let list =
        |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join("|");
    let answered = call.answered.unwrap_or(call.ended);
    let transfer = call
        .transfer
        .as_ref()
        .map(|it| (it.kinds, it.state, &it.to));

    format!(
        "{} {} {} -> {} by {}, ring {} talk {}, transfer {transfer:?}",
        call.direction,
        call.outcome,
        call.from,
        list(&call.to),
        list(&call.answered_by),
        seconds(answered - call.started),
        seconds(call.ended - answered),
    )
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "calls                {:>8}", self.calls)?;
        writeln!(f, "records              {:>8}", self.recorded)?;
        writeln!(
            f,
            "exact                {:>8}  {}",
            self.exact,
            share(self.exact, self.calls)
        )?;
        let whole = share(self.whole_exact, self.whole);
        writeln!(f, "exact, nothing lost  {:>8}  {whole}", self.whole_exact)?;
        writeln!(f, "by another reading   {:>8}", self.other_reading)?;
        for (name, count) in [
            ("false missed", self.false_missed),
            ("lost missed", self.lost_missed),
            ("split", self.split),
            ("merged", self.merged),
        ] {
            writeln!(
                f,
                "{name:<20} {count:>8}  {} of 10,000",
                per_ten_thousand(count, self.calls)
            )?;
        }
        let found = share(self.transfers_found, self.transfers);
        writeln!(
            f,
            "transfers found      {:>8}  {found}",
            self.transfers_found
        )?;
        let real = share(self.transfers_real, self.transfers_claimed);
        writeln!(f, "transfers real       {:>8}  {real}", self.transfers_real)?;
        for (kind, (calls, exact)) in &self.kinds {
            writeln!(f, "  {kind:<28} {calls:>6} {}", share(*exact, *calls))?;
        }
        let mut examples: Vec<&(u32, String)> = self.examples.iter().collect();
        examples.sort_by_key(|(lost, _)| *lost);
        for (_, example) in examples.into_iter().take(self.examples_shown) {
            writeln!(f, "  {example}")?;
        }

        Ok(())
    }
}

fn share(part: u64, whole: u64) -> String {
    let hundredths = (part * 10_000).checked_div(whole).unwrap_or(10_000);

    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

fn per_ten_thousand(part: u64, whole: u64) -> u64 {
    (part * 10_000).checked_div(whole).unwrap_or(0)
}
