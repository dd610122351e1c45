//! What is shown of one call: the commands that say what is not shown already.

use std::collections::HashMap;

use deadpool_redis::redis::Pipeline;
use serde_json::json;

use super::keys::{CALL_SECONDS, HOUR_SECONDS, Keys, OVER_SECONDS, RING_SECONDS, TRANSFER_SECONDS};
use super::stream;
use crate::domain::device::Extension;
use crate::domain::fact::{CallId, Fact, Kind};
use crate::domain::record::{CallRecord, Direction, Participant};
use crate::domain::time::{At, Span};
use crate::domain::transfer::TransferState;

/// Commands of one round trip: as many as are answered well within the deadline.
const COMMANDS_AT_ONCE: usize = 1_000;
/// Waiting for a decision; whoever reads them late finds the oldest gone.
const PENDING_MAX: i64 = 10_000;
/// What goes by itself after an hour is shown again after half of it.
const AGAIN_AFTER: Span = Span::seconds(HOUR_SECONDS / 2);

/// Sets the fields of a hash unless it holds something newer; touches one key only.
const SET_IF_NEWER: &str = "local v = redis.call('HGET', KEYS[1], 'version')
if v and tonumber(v) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1";
/// Removes a claim unless another call has claimed the number since.
const RELEASE: &str = "if redis.call('HGET', KEYS[1], 'claimed_call_id') == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// Commands in their order, so many for each round trip.
#[derive(Default)]
pub(super) struct Commands {
    pub trips: Vec<Pipeline>,
    in_last: usize,
}

impl Commands {
    pub(super) fn cmd(&mut self, name: &str) -> &mut Pipeline {
        if self.trips.is_empty() || self.in_last == COMMANDS_AT_ONCE {
            self.trips.push(Pipeline::with_capacity(COMMANDS_AT_ONCE));
            self.in_last = 0;
        }
        self.in_last += 1;
        let last = self.trips.len() - 1;
        self.trips[last].cmd(name)
    }

    pub(super) fn set(&mut self, key: &str, value: &str, ttl: i64) {
        self.cmd("SET").arg(key).arg(value).arg("EX").arg(ttl);
    }

    fn set_if_newer(&mut self, key: &str, version: i64, ttl: i64, fields: &[(&str, &str)]) {
        let command = self
            .cmd("EVAL")
            .arg(SET_IF_NEWER)
            .arg(1)
            .arg(key)
            .arg(version)
            .arg(ttl);
        for (name, value) in fields {
            command.arg(*name).arg(*value);
        }
    }

    /// Takes a claim back, unless another call has claimed the number since.
    pub(super) fn release(&mut self, active: &str, call: &str) {
        self.cmd("EVAL").arg(RELEASE).arg(1).arg(active).arg(call);
    }
}

/// What is shown of the calls of a partition that are not final.
#[derive(Default)]
pub(super) struct Known(HashMap<CallId, Shown>);

/// What is shown of a call beside its record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shown {
    /// When it began, as long as it is not over.
    live: Option<At>,
    rang: Option<At>,
    direction: Option<Direction>,
    parent: Option<CallId>,
    pending: Option<At>,
    transfer: Option<TransferState>,
    said_at: Option<At>,
    /// It may be pending there, or not.
    unsure: bool,
}

impl Known {
    /// Somebody took it all away.
    pub(super) fn forget(&mut self) {
        // How far a transfer had come is nothing that is shown: what is told of it is told once.
        for shown in self.0.values_mut() {
            *shown = Shown {
                transfer: shown.transfer,
                unsure: shown.unsure || shown.pending.is_some(),
                ..Shown::default()
            };
        }
        self.0
            .retain(|_, shown| shown.transfer.is_some() || shown.unsure);
    }
}

/// Writes what there is to see at an event time.
pub(super) struct Writing<'w> {
    pub keys: &'w Keys,
    pub part: &'w str,
    /// Grows with event time: of two writers the one that knows more wins.
    pub version: i64,
    pub commands: &'w mut Commands,
    pub known: &'w mut Known,
    /// What is written may stand there already, from another time.
    pub again: bool,
}

impl Writing<'_> {
    pub(super) fn fact(&mut self, fact: &Fact) {
        if !matches!(fact.kind, Kind::Incoming | Kind::Outgoing | Kind::Answered) {
            return;
        }
        let remote = fact
            .remote
            .as_ref()
            .map(|number| number.e164().unwrap_or(number.raw()));
        if let Some(remote) = remote.filter(|remote| !remote.is_empty()) {
            let key = self
                .keys
                .of(&fact.site)
                .reported(&fact.device.to_string(), remote);
            self.commands.set(&key, "1", RING_SECONDS);
        }
    }

    /// Shows a call; `text` is its record.
    pub(super) fn call(&mut self, record: &CallRecord, text: &str, is_final: bool) {
        let (keys, id) = (self.keys.of(&record.site), record.id.to_string());
        let was = self.known.0.remove(&record.id);
        let now = self.now(record, was.as_ref());
        let is_live = now.live.is_some();
        let ttl = if is_live { CALL_SECONDS } else { OVER_SECONDS };
        self.commands.set_if_newer(
            &self.keys.record(&id),
            self.version,
            ttl,
            &[("record", text)],
        );
        let live = self.keys.live(self.part);
        match now.live {
            Some(began) if was.as_ref().is_none_or(|was| was.live != now.live) => {
                self.commands
                    .cmd("ZADD")
                    .arg(live)
                    .arg(began.0 / 1_000_000)
                    .arg(&id);
            }
            None if was.as_ref().is_none_or(|was| was.live.is_some()) => {
                self.commands.cmd("ZREM").arg(live).arg(&id);
            }
            _ => {}
        }
        // From here on only what is not shown as it is.
        let differs =
            |one: fn(&Shown) -> Option<At>| was.as_ref().is_none_or(|was| one(was) != one(&now));
        let said_anew = differs(|shown| shown.said_at);
        if said_anew
            || was
                .as_ref()
                .is_none_or(|was| was.direction != now.direction)
        {
            self.commands.set(
                &keys.direction(&id),
                direction_word(record.direction),
                HOUR_SECONDS,
            );
        }
        if let Some(parent) = now
            .parent
            .filter(|_| said_anew || was.as_ref().is_none_or(|was| was.parent != now.parent))
        {
            self.commands
                .set(&keys.parent(&id), &parent.to_string(), HOUR_SECONDS);
        }
        let rang = now
            .rang
            .filter(|_| is_live && differs(|shown| shown.rang))
            .map(seconds);
        if let Some(rang) = &rang {
            self.commands.set(&keys.ring(&id), rang, RING_SECONDS);
        }
        for remote in outside(record) {
            let active = keys.active(remote);
            if is_live {
                let answered = if record.answered_at.is_some() {
                    "1"
                } else {
                    "0"
                };
                let fields = [
                    ("claimed_call_id", &*id),
                    ("timestamp", &seconds(record.started_at)),
                    ("answered", answered),
                ];
                self.commands
                    .set_if_newer(&active, self.version, CALL_SECONDS, &fields);
                if let Some(rang) = &rang {
                    self.commands
                        .set(&keys.ring_remote(remote), rang, RING_SECONDS);
                }
            } else if was.as_ref().is_none_or(|was| was.live.is_some()) {
                self.commands.release(&active, &id);
            }
            self.fingerprint(&keys, record, remote);
        }
        let unsure = self.again || was.as_ref().is_some_and(|was| was.unsure);
        let was_pending = was.as_ref().and_then(|was| was.pending);
        if unsure || was_pending != now.pending {
            self.pending(&keys, now.pending, &id, unsure || was_pending.is_some());
        }
        self.transfer(
            &keys,
            record,
            &id,
            was.as_ref().and_then(|was| was.transfer),
        );
        if !is_final {
            self.known.0.insert(record.id, now);
        }
    }

    fn now(&self, record: &CallRecord, was: Option<&Shown>) -> Shown {
        let now = At(self.version);
        let said_at = was
            .and_then(|was| was.said_at)
            .filter(|said| now - *said < AGAIN_AFTER);
        Shown {
            live: record.ended_at.is_none().then_some(record.started_at),
            rang: record
                .participants
                .iter()
                .filter_map(|participant| participant.rang_at)
                .min(),
            direction: Some(record.direction),
            parent: record.links.first().map(|link| link.call),
            pending: record.missed_due,
            transfer: record
                .transfer
                .as_ref()
                .map(|transfer| transfer.state)
                .filter(|state| state.is_under_way()),
            said_at: Some(said_at.unwrap_or(now)),
            unsure: false,
        }
    }

    /// A conversation that was held, handed over or just ended may go on elsewhere.
    fn fingerprint(&mut self, keys: &Keys, record: &CallRecord, remote: &str) {
        let moving = record.answered_at.is_some()
            && (record.ended_at.is_some() || record.transfer.is_some());
        if !moving {
            return;
        }
        let at = record.ended_at.unwrap_or(At(self.version));
        let by = record
            .answered_by
            .as_ref()
            .and_then(|owner| owner.extension.as_ref());
        let print = json!({
            "call_id": record.id.to_string(),
            "remote": remote,
            "extension": by.map(Extension::as_str),
            "timestamp": seconds(at),
        })
        .to_string();
        let all = keys.transfers();
        self.commands
            .cmd("ZADD")
            .arg(&all)
            .arg(seconds(at))
            .arg(&print);
        self.commands
            .cmd("ZREMRANGEBYSCORE")
            .arg(&all)
            .arg("-inf")
            .arg(seconds(At(at.0 - TRANSFER_SECONDS * 1_000_000)));
        self.commands.cmd("EXPIRE").arg(&all).arg(TRANSFER_SECONDS);
        self.commands
            .set(&keys.transfer(remote), &print, TRANSFER_SECONDS);
    }

    pub(super) fn withdraw(&mut self, call: CallId) {
        self.known.0.remove(&call);
        let id = call.to_string();
        self.commands.cmd("DEL").arg(self.keys.record(&id));
        self.commands
            .cmd("ZREM")
            .arg(self.keys.live(self.part))
            .arg(id);
    }

    /// A call of which it is not decided yet whether somebody missed it.
    fn pending(&mut self, keys: &Keys, due: Option<At>, id: &str, was: bool) {
        let (schedule, queue) = (keys.missed_schedule(), keys.missed_queue());
        if was {
            self.commands.cmd("LREM").arg(&queue).arg(0).arg(id);
        }
        if let Some(due) = due {
            self.commands
                .cmd("ZADD")
                .arg(&schedule)
                .arg(seconds(due))
                .arg(id);
            self.commands.cmd("RPUSH").arg(&queue).arg(id);
            self.commands
                .cmd("LTRIM")
                .arg(&queue)
                .arg(-PENDING_MAX)
                .arg(-1);
            self.commands.cmd("EXPIRE").arg(&schedule).arg(HOUR_SECONDS);
            self.commands.cmd("EXPIRE").arg(&queue).arg(HOUR_SECONDS);
        } else {
            self.commands.cmd("ZREM").arg(&schedule).arg(id);
        }
    }

    /// What is known of a transfer while it is under way, and its end as an event. Both of its keys
    /// are written and cleared together.
    fn transfer(
        &mut self,
        keys: &Keys,
        record: &CallRecord,
        call: &str,
        before: Option<TransferState>,
    ) {
        let Some(transfer) = &record.transfer else {
            return;
        };
        let id = format!("{call}-t");
        let (context, by_call) = (keys.transfer_context(&id), keys.transfer_by_call(call));
        if transfer.state.is_under_way() {
            let text =
                stream::transfer_context(&id, call, transfer.to.as_deref(), record.started_at);
            self.commands.set(&context, &text, HOUR_SECONDS);
            self.commands.set(&by_call, &id, HOUR_SECONDS);
        } else if before.is_some() {
            self.commands.cmd("DEL").arg(&context);
            self.commands.cmd("DEL").arg(&by_call);
        }
        let kind = match (before, transfer.state) {
            (before, TransferState::Answered) if before != Some(TransferState::Answered) => {
                "destination_answered"
            }
            (Some(TransferState::Initiated | TransferState::Ringing), TransferState::Completed) => {
                "destination_answered"
            }
            (
                Some(_),
                TransferState::Cancelled | TransferState::Failed | TransferState::Abandoned,
            ) => "transfer_failed",
            _ => return,
        };
        let event = stream::transfer_event(kind, &id, call, transfer, At(self.version));
        self.commands
            .cmd("PUBLISH")
            .arg(keys.transfer_events(&id))
            .arg(event);
    }
}

/// The direction in the words of this key.
fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "in",
        Direction::Outbound => "out",
        Direction::Internal => "internal",
    }
}

/// The parties that are none of ours, as other programs ask for them.
fn outside(record: &CallRecord) -> impl Iterator<Item = &str> {
    let ours = |party: &str| {
        record.participants.iter().any(|who: &Participant| {
            who.extension
                .as_ref()
                .is_some_and(|own| own.as_str() == party)
        })
    };
    let parties = [&record.from, &record.to];
    let shown = parties
        .into_iter()
        .filter_map(|party| party.e164.as_deref().or(party.number.as_deref()));
    shown.filter(move |party| !party.is_empty() && !ours(party))
}

/// Seconds since the epoch with milliseconds behind the point.
fn seconds(at: At) -> String {
    format!(
        "{}.{:03}",
        at.0.div_euclid(1_000_000),
        at.0.rem_euclid(1_000_000) / 1_000
    )
}
