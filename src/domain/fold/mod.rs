//! The fold: facts of one site, in their order, become legs and calls. Everything it knows is in
//! this value, so a clone is a snapshot.
//!
//! A fact passes through three questions: which leg of its device it speaks of ([`matching`]), what
//! it changes there ([`changes`]), and, for a new leg, which call that leg belongs to ([`placing`],
//! [`pickup`]). What only the passing of event time can show is asked again later ([`review`]);
//! what only the watermark may settle is settled by it ([`settle`]).

mod changes;
mod consults;
mod index;
mod linking;
mod matching;
mod pickup;
mod placing;
mod restructure;
mod review;
mod scene;
mod settle;

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::call::{Call, Rule, Step};
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
use matching::Meaning;
use settle::Alarm;

/// Devices whose account is remembered for facts that name none.
const DEVICES_MAX: usize = 100_000;

/// What the fold knows of one device.
#[derive(Clone, Debug, Default)]
struct Phone {
    /// Open legs, and closed ones that a late or repeated fact may still mean.
    legs: SmallVec<[LegSlot; 4]>,
    /// The account it named last.
    account: Option<Extension>,
}

/// The state of one site after some facts, in their order, and some watermark.
#[derive(Clone)]
pub(super) struct Fold {
    site: Site,
    policy: Arc<Policy>,
    legs: CowSlab<Leg>,
    calls: CowSlab<Call>,
    phones: HashMap<Device, Phone, FixedState>,
    /// Which calls a party takes part in, or recently took part in.
    parties: HashMap<PartyKey, SmallVec<[CallSlot; 4]>, FixedState>,
    /// Calls of callers who withhold the number.
    withheld: Vec<CallSlot>,
    /// Event time: the last fact, or the review under way.
    now: At,
    extensions: Arc<Extensions>,
    /// Calls to look at again when event time has passed the instant.
    reviews: BinaryHeap<Alarm>,
    /// Calls to decide, finish or forget when the watermark has passed the instant.
    decisions: BinaryHeap<Alarm>,
    touched: Vec<CallSlot>,
    withdrawn: Vec<CallId>,
    finished: Vec<CallRecord>,
    keep_steps: bool,
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
            touched: Vec::new(),
            withdrawn: Vec::new(),
            finished: Vec::new(),
            keep_steps: false,
        }
    }

    /// From now on every record says what each of its facts did.
    pub fn keep_steps(&mut self) {
        self.keep_steps = true;
    }

    /// Knows extensions that were reported before the first fact to come.
    pub fn know(&mut self, extensions: &[(Extension, At)]) {
        let known = Arc::make_mut(&mut self.extensions);
        for (extension, first_report) in extensions {
            known.learn(
                extension,
                FactKey {
                    at: *first_report,
                    id: EventId(0),
                },
            );
        }
    }

    pub fn known_extensions(&self) -> Vec<(Extension, At)> {
        self.extensions.all()
    }

    /// Folds the next fact. The caller keeps the order: no fact may come before one already folded.
    pub fn step(&mut self, fact: &Fact) {
        self.review_until(fact.at, false);
        self.now = fact.at;
        if let Some(local) = &fact.local
            && !self.extensions.knows(local)
        {
            Arc::make_mut(&mut self.extensions).learn(local, fact.key());
        }
        if let Kind::Device(state) = fact.kind {
            if matches!(state, DeviceState::Idle | DeviceState::Boot) {
                self.phone_is_idle(fact);
            }
            return;
        }
        self.remember_account(fact);
        let mut meaning = self.meaning(fact);
        if let Meaning::Repeats(leg) | Meaning::TooLate(leg) | Meaning::AnswersEnded(leg) = meaning
            && self.was_not_over(leg, fact)
        {
            self.unsupersede(leg);
            meaning = self.meaning(fact);
        }
        match meaning {
            Meaning::Begins(side) => self.begin(fact, side, Rule::Began),
            Meaning::BeginsAnswered(old) => self.begin_answered(old, fact),
            Meaning::Supersedes(old) => self.supersede(old, fact),
            Meaning::Revives(old) => self.revive(old, fact),
            Meaning::Repeats(leg) => self.repeat(leg, fact),
            Meaning::Overtaken(leg) => self.overtaken(leg, fact),
            Meaning::Answers(leg) => self.answer(leg, fact),
            Meaning::AnswersEnded(leg) => self.answer_ended(leg, fact),
            Meaning::Ends(leg) => self.end(leg, fact),
            Meaning::Marks(leg) => self.mark(leg, fact),
            Meaning::TooLate(leg) => self.too_late(leg, fact),
        }
    }

    fn remember_account(&mut self, fact: &Fact) {
        let room = self.phones.len() < DEVICES_MAX;
        if let Some(phone) = self.phones.get_mut(&fact.device) {
            if fact.local.is_some() && phone.account != fact.local {
                phone.account.clone_from(&fact.local);
            }
        } else {
            let account = if room { fact.local.clone() } else { None };
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

    /// Notes that a fact said something new about its call.
    fn news(&mut self, leg: LegSlot, fact: &Fact, rule: Rule) {
        let call = self.legs[leg].call;
        self.calls[call].last = fact.key();
        self.trace(leg, fact, rule);
        self.touch(call);
        self.refresh(call);
    }

    fn trace(&mut self, leg: LegSlot, fact: &Fact, rule: Rule) {
        let call = self.legs[leg].call;
        self.legs[leg].last = fact.key();
        if self.keep_steps {
            self.calls[call].trace(Step {
                key: fact.key(),
                leg,
                kind: fact.kind,
                rule,
            });
        }
    }

    fn touch(&mut self, call: CallSlot) {
        if !std::mem::replace(&mut self.calls[call].touched, true) {
            self.touched.push(call);
        }
    }

    /// Live and remembered calls: what the fold's memory is proportional to.
    pub fn calls_held(&self) -> usize {
        self.calls.len()
    }

    /// The next instant at which the passing of time alone changes something.
    pub fn next_deadline(&self) -> Option<At> {
        let review = self.reviews.peek().map(|alarm| alarm.at());
        let decision = self.decisions.peek().map(|alarm| alarm.at());
        review.into_iter().chain(decision).min()
    }
}
