//! The window of one agent: which popups it shows, and how they change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::popup::{Agent, Meaning, document, meaning};
use super::switch::Change;
use crate::domain::number::Number;
use crate::gateway::Gateway;
use crate::gateway::parameters::LIVE_CALLS_MAX;
use crate::port::directory::Helpline;
use crate::port::error::LedgerError;
use crate::port::query::CallFilter;
use crate::wire::instant;

/// Claims of ringing calls are looked up this often: another gateway may have taken one.
const CLAIMS_EVERY: Duration = Duration::from_secs(1);
const EARLIER_CALLS: u32 = 4;

pub(super) fn event(name: &'static str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
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
    /// Calls in which his phone talks, or that it placed.
    busy_with: HashSet<String>,
    claims: Interval,
    /// Calls that ring or are talked in, by id; those that ring also where they are not shown.
    calls: HashMap<String, Arc<Value>>,
    /// The popup of each call that is not over, as it was sent last.
    shown: HashMap<String, Value>,
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
            busy_with: HashSet::new(),
            claims,
            calls: HashMap::new(),
            shown: HashMap::new(),
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
            if is_current && let Some(popup) = self.popup(record).await {
                popups.push(popup);
            }
        }

        Ok(json!({
            "popups": popups,
            "now": instant::text(self.gateway.clock.now()),
            "extension": self.desk.extension,
            "state": if self.is_paused { "paused" } else { "available" },
            "reason": pause.as_ref().and_then(|pause| pause.reason.as_deref()),
        }))
    }

    /// Ends when the stream is too far behind, and with notifications that were missed: the agent
    /// begins again with a snapshot.
    pub(super) fn into_stream(self) -> impl Stream<Item = Event> {
        stream::unfold(self, |mut window| async move {
            loop {
                let popups = tokio::select! {
                    change = window.changes.recv() => match change {
                        Some(Change::Call(call)) => window.popup(call).await.into_iter().collect(),
                        Some(Change::Paused(is_paused)) => {
                            window.is_paused = is_paused;
                            Vec::new()
                        }
                        Some(Change::Withdrawn(id)) => window.withdrawn(&id).into_iter().collect(),
                        Some(Change::Resync) | None => return None,
                    },
                    _ = window.claims.tick() => window.changed_claims().await,
                };
                if !popups.is_empty() {
                    let events: Vec<Event> =
                        popups.iter().map(|popup| event("popup", popup)).collect();
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
        let Some(meaning) = self.meaning(&call) else {
            self.calls.remove(&id);
            return None;
        };
        let kind = meaning.kind;
        // A call that was over before the window opened is no news. One that rings is looked at again,
        // with the claims: it is shown as soon as the agent can take it.
        let is_shown = self.shown.contains_key(&id);
        let is_news = kind.is_current() && self.may_show(meaning);
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
        popup["history"] = match self.shown.get(&id) {
            Some(shown) => shown["history"].clone(),
            None => self.history(&call).await,
        };
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
        meaning.at_phone || !self.is_paused && self.busy_with.is_empty()
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

        let mut changed = Vec::new();
        for call in ringing {
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

    /// Earlier calls of the caller, the latest first.
    async fn history(&self, call: &Value) -> Value {
        let number = call["from"]["e164"]
            .as_str()
            .or_else(|| call["from"]["number"].as_str());
        let Some(number) = number.filter(|number| !Number::shows_none(number)) else {
            return json!([]);
        };
        let filter = CallFilter {
            site: Some(self.desk.site.clone()),
            number: Some(number.to_owned()),
            limit: EARLIER_CALLS,
            ..CallFilter::default()
        };
        // A popup without a history is better than none.
        let earlier = self.gateway.query.calls(&filter).await.unwrap_or_default();

        let earlier = earlier.iter().filter_map(|earlier| {
            let record: Value = serde_json::from_str(&earlier.record).ok()?;
            (record["id"] != call["id"]).then(|| {
                json!({
                    "call_id": record["id"],
                    "started_at": record["started_at"],
                    "direction": record["direction"],
                    "outcome": record["outcome"],
                    "extension": record["answered_by"]["extension"],
                    "talk_seconds": record["talk_seconds"],
                })
            })
        });
        earlier.collect::<Vec<Value>>().into()
    }
}
