//! The state of the view.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::keys::Key;
use super::sources::{Desk, Metrics, News};
use crate::domain::time::{At, Span};
use crate::wire::instant;

/// Events of this time are counted.
const MINUTE: Duration = Duration::from_mins(1);
/// Events that are remembered for it.
const EVENTS_MAX: usize = 1_000_000;

/// The stage of a live call, in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Ringing,
    OnHold,
    Talking,
}

/// A call that goes on.
#[derive(Clone, Debug)]
pub(super) struct LiveCall {
    pub stage: Stage,
    /// The beginning of the stage.
    pub since: At,
    pub caller: String,
    pub called: String,
    /// The extension that talks, or those that ring.
    pub phones: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Started,
    Answered,
    Missed,
}

pub(super) struct Board {
    pub address: String,
    /// Why nothing is heard of the service.
    pub lost: Option<String>,
    pub desk: Option<Desk>,
    pub metrics: Metrics,
    /// Accepted events each second.
    pub accepted_rate: Option<f64>,
    /// The first call that is shown, and how many fit.
    pub top: usize,
    pub fit: usize,
    calls: BTreeMap<String, LiveCall>,
    /// Calls that changed while all are read: their readings are old.
    newer: HashSet<String>,
    events: VecDeque<(Instant, Counted)>,
    /// The clock of the service at an instant of this machine.
    clock: Option<(At, Instant)>,
    measured: Option<(f64, Instant)>,
}

impl Board {
    pub(super) fn new(address: &str) -> Board {
        Board {
            address: address.to_owned(),
            lost: None,
            desk: None,
            metrics: Metrics::default(),
            accepted_rate: None,
            top: 0,
            fit: 0,
            calls: BTreeMap::new(),
            newer: HashSet::new(),
            events: VecDeque::new(),
            clock: None,
            measured: None,
        }
    }

    pub(super) fn take(&mut self, news: News, now: Instant) {
        match news {
            News::Reading => self.newer.clear(),
            News::Calls(calls) => {
                self.lost = None;
                self.take_all(&calls);
            }
            News::Event { name, data } => self.take_event(&name, &data, now),
            News::Lost(reason) => self.lost = Some(reason),
            News::Desk(desk) => {
                self.clock = Some((desk.read_at, now));
                self.desk = Some(desk);
            }
            News::Metrics(metrics) => self.take_metrics(metrics, now),
        }
    }

    fn take_all(&mut self, calls: &Value) {
        let newer = std::mem::take(&mut self.newer);
        self.calls.retain(|id, _| newer.contains(id));

        for call in calls.as_array().into_iter().flatten() {
            let id = call["id"].as_str().unwrap_or_default();
            if let Some(live) = LiveCall::of(call)
                && !newer.contains(id)
            {
                self.calls.insert(id.to_owned(), live);
            }
        }
    }

    fn take_event(&mut self, name: &str, data: &Value, now: Instant) {
        let id = data["call_id"].as_str().unwrap_or_default();
        self.newer.insert(id.to_owned());
        match LiveCall::of(&data["call"]) {
            Some(live) => self.calls.insert(id.to_owned(), live),
            None => self.calls.remove(id),
        };

        let counted = match name {
            "call.started" => Counted::Started,
            "call.answered" => Counted::Answered,
            "call.missed" => Counted::Missed,
            _ => return,
        };
        if self.events.len() < EVENTS_MAX {
            self.events.push_back((now, counted));
        }
    }

    fn take_metrics(&mut self, metrics: Metrics, now: Instant) {
        self.accepted_rate = None;
        if let (Some((before, at)), Some(accepted)) = (self.measured, metrics.accepted) {
            let seconds = now.saturating_duration_since(at).as_secs_f64();
            // The counter of a new process begins again.
            if seconds > 0.0 && accepted >= before {
                self.accepted_rate = Some((accepted - before) / seconds);
            }
        }
        self.measured = metrics.accepted.map(|accepted| (accepted, now));
        self.metrics = metrics;
    }

    /// Does what a key asks for. False when it ends the view.
    pub(super) fn act(&mut self, key: Key) -> bool {
        let page = isize::try_from(self.fit.max(1)).unwrap_or(1);
        let by = match key {
            Key::End => return false,
            Key::Redraw => 0,
            Key::First => isize::MIN,
            Key::Scroll(lines) => lines,
            Key::Page(pages) => pages * page,
        };

        self.top = self.top.saturating_add_signed(by);
        true
    }

    /// The calls that fit on the screen: those that ring first, then the longest first.
    pub(super) fn shown(&mut self, fit: usize) -> Vec<&LiveCall> {
        self.fit = fit;
        self.top = self.top.min(self.calls.len().saturating_sub(fit));

        let mut calls: Vec<(&String, &LiveCall)> = self.calls.iter().collect();
        calls.sort_by_key(|(id, call)| (call.stage, call.since, *id));
        let calls = calls.into_iter().map(|(_, call)| call);
        calls.skip(self.top).take(fit).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn in_stage(&self, stage: Stage) -> usize {
        let calls = self.calls.values();

        calls.filter(|call| call.stage == stage).count()
    }

    /// Events of the last minute, as far as the view was there.
    pub(super) fn last_minute(&mut self, counted: Counted, now: Instant) -> usize {
        while let Some((at, _)) = self.events.front()
            && now.saturating_duration_since(*at) >= MINUTE
        {
            self.events.pop_front();
        }

        let events = self.events.iter();
        events.filter(|(_, each)| *each == counted).count()
    }

    /// The time of the service.
    pub(super) fn time(&self, now: Instant) -> Option<At> {
        let (read_at, at) = self.clock?;
        let passed = now.saturating_duration_since(at).as_micros();

        Some(read_at + Span(i64::try_from(passed).unwrap_or_default()))
    }
}

impl LiveCall {
    /// `None` when the call is over, or was none.
    fn of(call: &Value) -> Option<LiveCall> {
        if call.is_null() || call["ended_at"].is_string() {
            return None;
        }
        let instant = |field: &str| instant::parse(call[field].as_str()?).ok();
        let started_at = instant("started_at")?;
        let answered_at = instant("answered_at");
        let (stage, since) = match (call["status"].as_str(), answered_at) {
            (Some("on_hold"), Some(answered_at)) => (Stage::OnHold, answered_at),
            (_, Some(answered_at)) => (Stage::Talking, answered_at),
            (_, None) => (Stage::Ringing, started_at),
        };

        Some(LiveCall {
            stage,
            since,
            caller: party(&call["from"]),
            called: party(if call["requested"]["number"].is_string() {
                &call["requested"]
            } else {
                &call["to"]
            }),
            phones: phones(call),
        })
    }
}

fn party(party: &Value) -> String {
    let number = party["number"].as_str().unwrap_or("withheld");

    match party["name"].as_str() {
        Some(name) if name != number => format!("{name} ({number})"),
        _ => number.to_owned(),
    }
}

fn phones(call: &Value) -> String {
    if let Some(owner) = call["answered_by"]["extension"].as_str() {
        return owner.to_owned();
    }
    let ringing = call["participants"].as_array().into_iter().flatten();
    let ringing = ringing.filter(|phone| phone["outcome"] == "ringing");
    let ringing: Vec<&str> = ringing
        .filter_map(|phone| phone["extension"].as_str())
        .collect();

    ringing.join(" ")
}
