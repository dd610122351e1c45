//! The window of one agent: which popups it shows, and how they change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Message;
use axum::response::sse::Event;
use futures_util::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::popup::{Agent, Kind, Meaning, document, meaning, meaning_of_shown, takes_part};
use super::switch::Change;
use crate::gateway::Gateway;
use crate::gateway::contacts::{Caller, CallerJson, ContactJson};
use crate::gateway::parameters::LIVE_CALLS_MAX;
use crate::port::directory::Helpline;
use crate::port::error::LedgerError;
use crate::port::query::CallFilter;
use crate::wire::instant;

/// Claims of ringing calls are looked up this often: another gateway may have taken one.
const CLAIMS_EVERY: Duration = Duration::from_secs(1);

/// The fields of a popup about its caller.
const CALLER_FIELDS: [&str; 5] = ["caller_name", "contacts", "note", "url", "history"];

/// An event of a window: the same document over either transport.
pub(super) struct WindowEvent {
    name: &'static str,
    data: Value,
}

impl WindowEvent {
    pub(super) fn hello(data: Value) -> WindowEvent {
        WindowEvent {
            name: "hello",
            data,
        }
    }

    pub(super) fn server_sent(&self) -> Event {
        Event::default()
            .event(self.name)
            .data(self.data.to_string())
    }

    pub(super) fn message(&self) -> Message {
        Message::text(json!({ "type": self.name, "data": self.data }).to_string())
    }
}

/// The line of an agent, and the name under which he claims.
pub(super) struct Desk {
    pub site: String,
    pub extension: String,
    pub name: String,
}

/// The open window of one agent.
pub(super) struct Window {
    gateway: Gateway,
    desk: Desk,
    changes: mpsc::Receiver<Change>,
    helplines: Arc<[Helpline]>,
    /// The agent takes no calls of his helplines for now.
    is_paused: bool,
    /// His phones take no calls.
    is_silent: bool,
    /// Calls in which his phone talks, or that it placed.
    busy_with: HashSet<String>,
    claims: Interval,
    /// Requests to another program for the contacts of callers.
    look_ups: JoinSet<(String, Caller, Vec<ContactJson>)>,
    /// Calls that ring or are talked in, by id; those that ring also where they are not shown.
    calls: HashMap<String, Arc<Value>>,
    /// The popup of each call that is not over, as it was sent last.
    shown: HashMap<String, Value>,
    /// Open calls of his phone that did not ring any more when the window opened: one may turn out to
    /// be missed.
    rang_before: HashSet<String>,
    _permit: OwnedSemaphorePermit,
}

impl Window {
    /// A window that hears of changes from now on, before its snapshot is read: nothing lies
    /// between them.
    pub(super) fn open(gateway: Gateway, desk: Desk, permit: OwnedSemaphorePermit) -> Window {
        let mut claims = interval(CLAIMS_EVERY);
        claims.set_missed_tick_behavior(MissedTickBehavior::Delay);

        Window {
            changes: gateway.popups.subscribe(&desk.site, &desk.extension),
            gateway,
            desk,
            helplines: Arc::default(),
            is_paused: false,
            is_silent: false,
            busy_with: HashSet::new(),
            claims,
            look_ups: JoinSet::new(),
            calls: HashMap::new(),
            shown: HashMap::new(),
            rang_before: HashSet::new(),
            _permit: permit,
        }
    }

    /// The popups of the calls that are open now.
    pub(super) async fn snapshot(&mut self) -> Result<Value, LedgerError> {
        let site = Some(self.desk.site.as_str());
        self.helplines = self.gateway.people.helplines(site).await?.into();
        self.gateway
            .popups
            .set_helplines(&self.desk.site, Arc::clone(&self.helplines));
        let pauses = self.gateway.people.pauses(site).await?;
        let pause = pauses
            .into_iter()
            .find(|pause| pause.extension == self.desk.extension);
        self.is_paused = pause.is_some();
        let silent = self.gateway.query.do_not_disturb(site).await?;
        self.is_silent = silent
            .iter()
            .any(|silent| silent.extension == self.desk.extension);

        let filter = CallFilter::of_live(Some(self.desk.site.clone()), LIVE_CALLS_MAX);
        let stored = self.gateway.query.calls(&filter).await?;
        let records: Vec<Arc<Value>> = stored
            .iter()
            .filter_map(|call| serde_json::from_str(&call.record).ok().map(Arc::new))
            .collect();
        // What keeps the agent busy decides about the calls of his helplines.
        for record in &records {
            self.follow_own_calls(record);
        }
        let mut popups = Vec::new();
        for record in records {
            let is_current = self
                .meaning(&record)
                .is_some_and(|meaning| meaning.kind.is_current());
            if !is_current && takes_part(&record, &self.desk.extension) {
                let id = record["id"].as_str().unwrap_or_default();
                self.rang_before.insert(id.to_owned());
            }
            if is_current && let Some(popup) = self.popup(record).await {
                popups.push(popup);
            }
        }

        Ok(json!({
            "popups": popups,
            "now": instant::text(self.gateway.clock.now()),
            "extension": self.desk.extension,
            "state": self.state(),
            "dnd": self.is_silent,
            "page_opens": self.gateway.callers.page_opens.name(),
            "reason": pause.as_ref().and_then(|pause| pause.reason.as_deref()),
        }))
    }

    fn state(&self) -> &'static str {
        if self.is_paused {
            "paused"
        } else {
            "available"
        }
    }

    /// Whether the agent takes calls, for a window that shows it: another window or his phone may have
    /// changed it.
    fn state_event(&self) -> WindowEvent {
        WindowEvent {
            name: "state",
            data: json!({ "state": self.state(), "dnd": self.is_silent }),
        }
    }

    /// Ends when the stream is too far behind, with other helplines, and with notifications that were
    /// missed: the agent begins again with a snapshot.
    pub(super) fn into_stream(self) -> impl Stream<Item = WindowEvent> {
        stream::unfold(self, |mut window| async move {
            loop {
                let popups: Vec<Value> = tokio::select! {
                    change = window.changes.recv() => match change {
                        Some(Change::Call(call)) => window.popup(call).await.into_iter().collect(),
                        Some(Change::Paused(now)) => {
                            if std::mem::replace(&mut window.is_paused, now) == now {
                                continue;
                            }
                            return Some((stream::iter(vec![window.state_event()]), window));
                        }
                        Some(Change::Silent(now)) => {
                            if std::mem::replace(&mut window.is_silent, now) == now {
                                continue;
                            }
                            return Some((stream::iter(vec![window.state_event()]), window));
                        }
                        Some(Change::Helplines(now)) if now == window.helplines => Vec::new(),
                        Some(Change::Withdrawn(id)) => window.withdrawn(&id).into_iter().collect(),
                        Some(Change::Helplines(_) | Change::Resync) | None => return None,
                    },
                    Some(found) = window.look_ups.join_next() => {
                        window.found(found.ok()).into_iter().collect()
                    }
                    _ = window.claims.tick() => window.changed_claims().await,
                };
                if !popups.is_empty() {
                    let popups = popups.into_iter();
                    let events: Vec<WindowEvent> = popups
                        .map(|data| WindowEvent {
                            name: "popup",
                            data,
                        })
                        .collect();
                    return Some((stream::iter(events), window));
                }
            }
        })
        .flatten()
    }

    /// The popup of a call, if it differs from the one that is shown.
    async fn popup(&mut self, call: Arc<Value>) -> Option<Value> {
        let id = call["id"].as_str()?.to_owned();
        self.follow_own_calls(&call);
        let is_shown = self.shown.contains_key(&id);
        let of_shown = || is_shown.then(|| meaning_of_shown(&call));
        let Some(meaning) = self.meaning(&call).or_else(of_shown) else {
            self.calls.remove(&id);
            return None;
        };
        let kind = meaning.kind;
        let rang_before = self.rang_before.contains(&id);
        if call["ended_at"].is_string() {
            self.rang_before.remove(&id);
        }
        // A call that was over before the window opened is no news. One that rings is looked at again,
        // with the claims: it is shown as soon as the agent can take it.
        let is_missed = rang_before && kind == Kind::Missed;
        let is_news = is_missed || kind.is_current() && self.may_show(meaning);
        if !is_shown && !is_news {
            self.calls.remove(&id);
            if kind.is_ringing() {
                self.calls.insert(id, call);
            }
            return None;
        }

        let claim = if kind.is_ringing() {
            self.claim_of(&id).await
        } else {
            None
        };
        let mut popup = document(&call, meaning, &self.agent(), claim.as_deref());
        self.add_caller(&mut popup, &call, &id).await;
        let is_news = self.shown.get(&id) != Some(&popup);

        // A call whose rings are silent may still become a missed one.
        let is_over = call["ended_at"].is_string();
        self.calls.remove(&id);
        if kind.is_current() {
            self.calls.insert(id.clone(), call);
        }
        if kind.is_current() || !is_over {
            self.shown.insert(id, popup.clone());
        } else {
            self.shown.remove(&id);
        }

        is_news.then_some(popup)
    }

    fn agent(&self) -> Agent<'_> {
        Agent {
            extension: &self.desk.extension,
            name: &self.desk.name,
            helplines: &self.helplines,
        }
    }

    fn meaning(&self, call: &Value) -> Option<Meaning> {
        meaning(call, &self.agent())
    }

    /// A call of a helpline that rings elsewhere is for agents who can take it.
    fn may_show(&self, meaning: Meaning) -> bool {
        let takes_calls = !self.is_paused && !self.is_silent && self.busy_with.is_empty();

        meaning.at_phone || takes_calls
    }

    /// Keeps in mind which calls occupy the phone of the agent.
    fn follow_own_calls(&mut self, call: &Value) {
        let Some(id) = call["id"].as_str() else {
            return;
        };
        let is_busy = call["ended_at"].is_null()
            && call["participants"].as_array().is_some_and(|participants| {
                participants.iter().any(|participant| {
                    participant["extension"].as_str() == Some(&self.desk.extension)
                        && (participant["outcome"] == "talking" || participant["role"] == "caller")
                        && participant["left_at"].is_null()
                })
            });

        if is_busy {
            self.busy_with.insert(id.to_owned());
        } else {
            self.busy_with.remove(id);
        }
    }

    fn withdrawn(&mut self, id: &str) -> Option<Value> {
        self.calls.remove(id);
        self.busy_with.remove(id);
        let mut popup = self.shown.remove(id)?;
        popup["kind"] = "withdrawn".into();

        Some(popup)
    }

    /// Popups of ringing calls whose claim has changed, and of those that the agent can take by now.
    async fn changed_claims(&mut self) -> Vec<Value> {
        let is_ringing = |call: &Value| {
            self.meaning(call)
                .is_some_and(|meaning| meaning.kind.is_ringing())
        };
        let ringing: Vec<Arc<Value>> = self
            .calls
            .values()
            .filter(|call| is_ringing(call))
            .cloned()
            .collect();

        // Without the database nothing has changed.
        let now = self.gateway.clock.now();
        let Ok(claims) = self.gateway.popups.claims(&*self.gateway.claims, now).await else {
            return Vec::new();
        };
        let mut changed = Vec::new();
        for call in ringing {
            let id = call["id"].as_str().unwrap_or_default();
            let claim = claims.get(id).map(String::as_str);
            let as_shown = |shown: &Value| shown["claimed_by"]["name"].as_str() == claim;
            if self.shown.get(id).is_some_and(as_shown) {
                continue;
            }
            changed.extend(self.popup(call).await);
        }
        changed
    }

    /// The name of the agent with the claim. Without the database a call looks unclaimed, and a
    /// claim is refused.
    async fn claim_of(&self, id: &str) -> Option<String> {
        let now = self.gateway.clock.now();
        let claim = self.gateway.claims.claim_of(id, now).await;

        claim.ok().flatten().map(|claim| claim.user)
    }

    /// Adds what is known about the caller. All but the note is looked up once for each popup, and again
    /// when a phone names another caller than before.
    async fn add_caller(&mut self, popup: &mut Value, call: &Value, id: &str) {
        let caller = Caller::of(&self.gateway, call);
        let same_caller = |shown: &&Value| {
            let is_same = |field: &str| shown["caller"][field] == popup["caller"][field];
            is_same("number") && is_same("e164")
        };
        if let Some(shown) = self.shown.get(id).filter(same_caller) {
            for field in CALLER_FIELDS {
                popup[field] = shown[field].clone();
            }
            // An agent may have written it since.
            if let Some(caller) = caller {
                let note = self.gateway.note_about(&caller).await;
                popup["note"] = serde_json::to_value(note).unwrap_or_default();
            }
            return;
        }

        let mut known = CallerJson::default();
        if let Some(caller) = caller {
            known = self.gateway.caller(&caller, id).await;
            if !known.has_contacts() {
                self.begin_look_up(id, caller);
            }
        }
        set_fields(popup, &known, &CALLER_FIELDS);
    }

    /// Asks another program for the contacts of a caller. The popup does not wait for its answer.
    fn begin_look_up(&mut self, id: &str, caller: Caller) {
        let Some(look_up) = self.gateway.look_up_for(&caller).cloned() else {
            return;
        };
        let id = id.to_owned();

        self.look_ups.spawn(async move {
            let contacts = look_up.contacts(&caller).await;
            (id, caller, contacts)
        });
    }

    /// The popup of a call with the contacts that another program has found.
    fn found(&mut self, found: Option<(String, Caller, Vec<ContactJson>)>) -> Option<Value> {
        let (id, caller, contacts) = found.filter(|(_, _, contacts)| !contacts.is_empty())?;
        let popup = self.shown.get_mut(&id)?;

        let mut known = CallerJson::default();
        known.set_contacts(&self.gateway, &caller, contacts);
        set_fields(popup, &known, &["caller_name", "contacts", "url"]);
        Some(popup.clone())
    }
}

fn set_fields(popup: &mut Value, known: &CallerJson, fields: &[&str]) {
    // Texts, numbers and lists of them always serialize.
    let mut known = serde_json::to_value(known).unwrap_or_default();
    for field in fields {
        popup[*field] = known[*field].take();
    }
}
