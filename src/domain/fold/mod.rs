//! The fold: a deterministic state machine that turns the facts of one site into legs and calls.
//!
//! Each fact passes three steps:
//!
//! 1. [`matching`] selects the leg of the device to which the fact belongs.
//! 2. [`changes`] applies the fact to that leg.
//! 3. [`placing`] and [`pickup`] assign a new leg to a call, with the reasons that [`join`] finds;
//!    [`naming`] places it again when a later fact names its party, and [`parking`] moves it when
//!    its display names a parked party.
//!
//! [`restructure`] moves legs between calls, [`index`] finds the calls of a party, and [`linking`]
//! links a new call to an earlier one.
//!
//! Two queues handle time. Reviews depend on event time: they run when a fact or the watermark
//! passes their instant ([`review`], [`consults`], [`pickup`]). Decisions depend on the watermark
//! alone ([`decide`]): missed calls, final records and the removal of closed calls. No clock is
//! read, so a backlog of facts freezes time and causes no false missed calls.
//!
//! Guarantees:
//!
//! - The caller passes facts in the order of their keys. Legs and calls then depend on these facts
//!   alone; the watermark only decides which records are reported and which calls are removed.
//! - The whole state is in the value [`Fold`], so a clone is a snapshot.
//! - No rule but that of parking concerns a call after `Call::final_at`, and that one ends with
//!   `Reading::record_final_at`, after which the call is removed. So the removal never changes a
//!   record.

mod changes;
mod consults;
mod decide;
mod index;
mod join;
mod linking;
mod matching;
mod naming;
mod parking;
mod pickup;
mod placing;
mod restructure;
mod review;

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::call::{Call, Rule, TraceEntry};
use super::cow_slab::CowSlab;
use super::device::{Device, Extension};
use super::extensions::Extensions;
use super::fact::{CallId, DeviceState, EventId, Fact, FactKey, Kind, Site};
use super::leg::{CallSlot, Leg, LegSlot};
use super::number::PartyKey;
use super::policy::Policy;
use super::reading::Reading;
use super::record::CallRecord;
use super::time::At;
use decide::Alarm;
use matching::Meaning;

/// Maximum number of devices per site whose account is remembered for facts that name no account.
const DEVICES_MAX: usize = 100_000;

/// The state of one device.
#[derive(Clone, Debug, Default)]
struct Phone {
    /// Open legs, and closed legs to which a late or repeated fact may still refer.
    legs: SmallVec<[LegSlot; 4]>,
    /// The account that the device named last.
    account: Option<Extension>,
}

/// The state of one site after a sequence of facts and a watermark.
#[derive(Clone)]
pub(super) struct Fold {
    site: Site,
    policy: Arc<Policy>,
    legs: CowSlab<Leg>,
    calls: CowSlab<Call>,
    phones: HashMap<Device, Phone, FixedState>,
    /// The calls in which each party takes part, or recently took part.
    parties: HashMap<PartyKey, SmallVec<[CallSlot; 4]>, FixedState>,
    /// The calls of callers who withhold the number.
    withheld: Vec<CallSlot>,
    /// Event time: the instant of the last fact, or of the review under way.
    now: At,
    extensions: Arc<Extensions>,
    /// Calls to review when event time has passed the instant.
    reviews: BinaryHeap<Alarm>,
    /// Calls to decide, finish or remove when the watermark has passed the instant.
    decisions: BinaryHeap<Alarm>,
    /// Calls marked changed since the changes were last collected.
    changed_calls: Vec<CallSlot>,
    withdrawn: Vec<CallId>,
    finished: Vec<CallRecord>,
    trace_enabled: bool,
}

impl Fold {
    pub fn new(site: Site, policy: Arc<Policy>) -> Fold {
        Fold {
            site,
            policy,
            legs: CowSlab::default(),
            calls: CowSlab::default(),
            phones: HashMap::default(),
            parties: HashMap::default(),
            withheld: Vec::new(),
            now: At::START,
            extensions: Arc::default(),
            reviews: BinaryHeap::new(),
            decisions: BinaryHeap::new(),
            changed_calls: Vec::new(),
            withdrawn: Vec::new(),
            finished: Vec::new(),
            trace_enabled: false,
        }
    }

    /// Enables the trace: every record then lists the effect of each of its facts.
    pub fn enable_trace(&mut self) {
        self.trace_enabled = true;
    }

    /// Adds extensions that were reported before the first fact to come.
    pub fn add_extensions(&mut self, extensions: &[(Extension, At)]) {
        let reported = Arc::make_mut(&mut self.extensions);
        for (extension, first_report) in extensions {
            reported.insert(
                extension,
                FactKey {
                    at: *first_report,
                    id: EventId(0),
                },
            );
        }
    }

    /// The extensions that devices reported, with the instant of the first report.
    pub fn reported_extensions(&self) -> Vec<(Extension, At)> {
        self.extensions.all()
    }

    /// Folds the next fact. The caller guarantees the order: no fact may precede a fact that is
    /// already folded.
    pub fn step(&mut self, fact: &Fact) {
        self.run_reviews(fact.at, false);
        self.now = fact.at;

        if let Some(local) = &fact.local
            && !self.extensions.contains(local)
        {
            Arc::make_mut(&mut self.extensions).insert(local, fact.key());
        }

        if let Kind::Device(state) = fact.kind {
            if matches!(state, DeviceState::Idle | DeviceState::Boot) {
                self.end_legs_of_idle_phone(fact);
            }
            return;
        }

        self.remember_account(fact);
        let mut meaning = self.meaning(fact);
        if let Meaning::Repeats(leg) | Meaning::TooLate(leg) | Meaning::AnswersEnded(leg) = meaning
            && self.revives_superseded(leg, fact)
        {
            self.undo_supersession(leg);
            meaning = self.meaning(fact);
        }

        match meaning {
            Meaning::Begins(side) => self.begin_leg(fact, side, Rule::Began),
            Meaning::BeginsAnswered(leg) => self.begin_answered_leg(leg, fact),
            Meaning::Supersedes(leg) => self.supersede_leg(leg, fact),
            Meaning::AnswersRepeatedRing(leg) => self.answer_repeated_ring(leg, fact),
            Meaning::Repeats(leg) => self.apply_duplicate(leg, fact),
            Meaning::Overtaken(leg) => self.apply_overtaken(leg, fact),
            Meaning::Answers(leg) => self.apply_answer(leg, fact),
            Meaning::AnswersEnded(leg) => self.apply_answer_after_end(leg, fact),
            Meaning::AnswersRinging(leg) => self.answer_ringing(leg, fact),
            Meaning::Ends(leg) => self.end_leg(leg, fact),
            Meaning::MidCall(leg) => self.apply_mid_call(leg, fact),
            Meaning::TooLate(leg) => self.count_late_fact(leg, fact),
        }
    }

    /// Stores the account that the device names, for later facts that name none.
    fn remember_account(&mut self, fact: &Fact) {
        let has_room = self.phones.len() < DEVICES_MAX;
        if let Some(phone) = self.phones.get_mut(&fact.device) {
            if fact.local.is_some() && phone.account != fact.local {
                phone.account.clone_from(&fact.local);
            }
        } else {
            let account = if has_room { fact.local.clone() } else { None };
            self.phones.insert(
                fact.device.clone(),
                Phone {
                    legs: SmallVec::new(),
                    account,
                },
            );
        }
    }

    fn reading(&self, call: CallSlot) -> Reading<'_> {
        Reading {
            call: &self.calls[call],
            legs: &self.legs,
            policy: &self.policy,
            extensions: &self.extensions,
            site: &self.site,
        }
    }

    /// Registers a fact with new information about the call: moves the call's last sign, marks it
    /// changed and updates its deadlines.
    fn register_change(&mut self, leg: LegSlot, fact: &Fact, rule: Rule) {
        let call = self.legs[leg].call;
        self.calls[call].last = fact.key();
        self.legs[leg].last_change = fact.at;
        self.register_sign(leg, fact, rule);
        self.mark_changed(call);
        self.update_deadlines(call);
    }

    /// Registers the fact as the last sign of its leg and adds it to the trace of the call.
    fn register_sign(&mut self, leg: LegSlot, fact: &Fact, rule: Rule) {
        let call = self.legs[leg].call;
        self.legs[leg].last = fact.key();
        if self.trace_enabled {
            self.calls[call].add_trace_entry(TraceEntry {
                key: fact.key(),
                leg,
                kind: fact.kind,
                rule,
            });
        }
    }

    /// Names the rule that moved a leg in the last trace entry of that leg.
    fn retrace_last(&mut self, call: CallSlot, leg: LegSlot, rule: Rule) {
        let of_leg = |entry: &&mut TraceEntry| entry.leg == leg;
        if let Some(entry) = self.calls[call].trace.iter_mut().rev().find(of_leg) {
            entry.rule = rule;
        }
    }

    fn mark_changed(&mut self, call: CallSlot) {
        if !std::mem::replace(&mut self.calls[call].changed, true) {
            self.changed_calls.push(call);
        }
    }

    /// Drains the records that became final since the last call of this method.
    pub fn take_finished(&mut self) -> Vec<CallRecord> {
        std::mem::take(&mut self.finished)
    }

    /// Drains the calls that were withdrawn since the last call of this method.
    pub fn take_withdrawn(&mut self) -> Vec<CallId> {
        std::mem::take(&mut self.withdrawn)
    }

    /// Drains the changed calls: their records at the instant `now`.
    pub fn take_changed(&mut self, now: At) -> Vec<CallRecord> {
        let slots = std::mem::take(&mut self.changed_calls);
        let mut records = Vec::with_capacity(slots.len());

        for slot in slots {
            let still_changed = self
                .calls
                .get_mut(slot)
                .is_some_and(|call| std::mem::take(&mut call.changed));
            if still_changed {
                records.push(CallRecord::of(&self.reading(slot), now));
            }
        }
        records
    }

    /// Discards the list of changed and withdrawn calls.
    pub fn discard_changes(&mut self) {
        for slot in std::mem::take(&mut self.changed_calls) {
            if let Some(call) = self.calls.get_mut(slot) {
                call.changed = false;
            }
        }
        self.withdrawn.clear();
    }

    /// The records at `now` of all calls that are not final.
    pub fn open_records(&self, now: At) -> Vec<CallRecord> {
        self.calls
            .iter()
            .filter(|(_, call)| call.closed.is_none())
            .map(|(slot, _)| CallRecord::of(&self.reading(slot), now))
            .collect()
    }

    /// Number of live and closed calls held; the memory of the fold is proportional to it.
    pub fn calls_held(&self) -> usize {
        self.calls.len()
    }

    /// The next instant at which the passing of time alone changes a call.
    pub fn next_deadline(&self) -> Option<At> {
        let review = self.reviews.peek().map(|alarm| alarm.at());
        let decision = self.decisions.peek().map(|alarm| alarm.at());

        review.into_iter().chain(decision).min()
    }
}
