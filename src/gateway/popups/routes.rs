//! The stream of an agent's popups, and the claim of a call.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::popup::{Agent, Kind, document, kind};
use super::switch::Change;
use crate::access::{Identity, Principal, Right};
use crate::domain::device::Extension as PhoneExtension;
use crate::domain::fact::Site;
use crate::domain::time::Span;
use crate::gateway::Gateway;
use crate::gateway::parameters::{LIVE_CALLS_MAX, Parameters, query};
use crate::gateway::response::{
    bad_parameter, error_response, json_response, no_right, unavailable_response,
};
use crate::gateway::sign_in::Credential;
use crate::gateway::stream::too_many_watchers;
use crate::gateway::visible::site_of;
use crate::port::claims::Claim;
use crate::port::directory::Helpline;
use crate::port::error::LedgerError;
use crate::port::query::CallFilter;
use crate::wire::instant;

const CLAIM_MAX: Span = Span::seconds(30);
/// Claims of ringing calls are looked up this often: another gateway may have taken one.
const CLAIMS_EVERY: Duration = Duration::from_secs(1);
const EARLIER_CALLS: u32 = 4;

/// The query of an agent's popups.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct AgentParameters {
    site: Option<String>,
    /// The phone whose popups are shown, while no account exists.
    extension: Option<String>,
}

impl Parameters for AgentParameters {
    const NAMES: &'static str = "`site` and `extension`";
}

/// The line of an agent, and the name under which he claims.
struct Desk {
    site: String,
    extension: String,
    name: String,
}

impl Desk {
    fn of(
        principal: &Principal,
        parameters: Result<QueryString<AgentParameters>, QueryRejection>,
    ) -> Result<Desk, Box<Response>> {
        let AgentParameters { site, extension } =
            query(parameters).map_err(|message| Box::new(bad_parameter(&message)))?;
        if !principal.may(Right::Claim) {
            return Err(Box::new(no_right("this account takes no calls")));
        }

        let site = site_of(principal, site)?;
        let requested = extension.as_deref().and_then(PhoneExtension::parse);
        let extension = match (&principal.extension, principal.identity == Identity::Open) {
            (Some(own), _) => Some(own.clone()),
            (None, true) => requested,
            (None, false) => None,
        };
        let extension = extension.ok_or_else(|| {
            Box::new(error_response(
                StatusCode::CONFLICT,
                "no_extension",
                "this account has no phone: an admin can give it an extension",
            ))
        })?;
        let name = match &principal.identity {
            Identity::Open => extension.to_string(),
            Identity::User(name) | Identity::Token(name) => name.clone(),
        };

        Ok(Desk {
            site: site.unwrap_or_else(|| Site::default().as_str().to_owned()),
            extension: extension.to_string(),
            name,
        })
    }
}

pub(in crate::gateway) async fn events(
    State(gateway): State<Gateway>,
    Extension(credential): Extension<Credential>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<AgentParameters>, QueryRejection>,
) -> Response {
    let desk = match Desk::of(&principal, parameters) {
        Ok(desk) => desk,
        Err(response) => return *response,
    };
    let Some(permit) = gateway.watchers.admit() else {
        return too_many_watchers();
    };

    // Changes first, then the calls: nothing lies between them.
    let changes = gateway.popups.subscribe(&desk.site, &desk.extension);
    let ping_every = gateway.watchers.ping_every;
    let access = Arc::clone(&gateway.access);
    let mut window = Window {
        gateway,
        desk,
        changes,
        helplines: Vec::new(),
        claims: claims_interval(),
        calls: HashMap::new(),
        shown: HashMap::new(),
        _permit: permit,
    };
    let hello = match window.snapshot().await {
        Ok(hello) => hello,
        Err(error) => return unavailable_response(&error),
    };

    let stream = stream::iter([event("hello", &hello)])
        .chain(window.into_stream())
        .take_until(async move { access.until_invalid(&credential).await })
        .map(Ok::<_, Infallible>);
    Sse::new(stream)
        .keep_alive(KeepAlive::new().interval(ping_every))
        .into_response()
}

fn claims_interval() -> Interval {
    let mut claims = interval(CLAIMS_EVERY);
    claims.set_missed_tick_behavior(MissedTickBehavior::Delay);

    claims
}

fn event(name: &'static str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// The open window of one agent.
struct Window {
    gateway: Gateway,
    desk: Desk,
    changes: mpsc::Receiver<Change>,
    helplines: Vec<Helpline>,
    claims: Interval,
    /// Calls that ring or are talked in, by id.
    calls: HashMap<String, Arc<Value>>,
    /// The popup of each call that is not over, as it was sent last.
    shown: HashMap<String, Value>,
    _permit: OwnedSemaphorePermit,
}

impl Window {
    /// The popups of the calls that are open now.
    async fn snapshot(&mut self) -> Result<Value, LedgerError> {
        let site = Some(self.desk.site.as_str());
        self.helplines = self.gateway.people.helplines(site).await?;

        let filter = CallFilter::of_live(Some(self.desk.site.clone()), LIVE_CALLS_MAX);
        let stored = self.gateway.query.calls(&filter).await?;
        let mut popups = Vec::new();
        for call in stored {
            let Ok(record) = serde_json::from_str::<Value>(&call.record) else {
                continue;
            };
            let is_current = kind(&record, &self.desk.extension).is_some_and(Kind::is_current);
            if is_current && let Some(popup) = self.popup(Arc::new(record)).await {
                popups.push(popup);
            }
        }

        let now = instant::text(self.gateway.clock.now());
        Ok(json!({ "popups": popups, "now": now, "extension": self.desk.extension }))
    }

    /// Ends when the stream is too far behind, and with notifications that were missed: the agent
    /// begins again with a snapshot.
    fn into_stream(self) -> impl Stream<Item = Event> {
        stream::unfold(self, |mut window| async move {
            loop {
                let popups = tokio::select! {
                    change = window.changes.recv() => match change {
                        Some(Change::Call(call)) => window.popup(call).await.into_iter().collect(),
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
        let kind = kind(&call, &self.desk.extension)?;
        // A call that was over before the window opened is no news.
        if !kind.is_current() && !self.shown.contains_key(&id) {
            return None;
        }

        let claim = if kind.is_ringing() {
            self.claim_of(&id).await
        } else {
            None
        };
        let agent = Agent {
            extension: &self.desk.extension,
            name: &self.desk.name,
            helplines: &self.helplines,
        };
        let mut popup = document(&call, kind, &agent, claim.as_deref());
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

    fn withdrawn(&mut self, id: &str) -> Option<Value> {
        self.calls.remove(id);
        let mut popup = self.shown.remove(id)?;
        popup["kind"] = "withdrawn".into();

        Some(popup)
    }

    /// Popups of ringing calls whose claim has changed.
    async fn changed_claims(&mut self) -> Vec<Value> {
        let is_ringing =
            |call: &Value| kind(call, &self.desk.extension).is_some_and(Kind::is_ringing);
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
        let Some(number) = number else {
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

/// Takes a ringing call.
pub(in crate::gateway) async fn claim(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
    parameters: Result<QueryString<AgentParameters>, QueryRejection>,
) -> Response {
    let desk = match Desk::of(&principal, parameters) {
        Ok(desk) => desk,
        Err(response) => return *response,
    };
    let now = gateway.clock.now();
    let claim = Claim {
        call_id: id.clone(),
        user: desk.name.clone(),
        expires_at: now + CLAIM_MAX,
    };

    let claimed = async {
        let Some(record) = gateway.query.call(&id).await? else {
            return Ok(Claimed::NotRinging);
        };
        let record: Value = serde_json::from_str(&record).unwrap_or_default();
        let is_own_site = record["site"].as_str() == Some(&desk.site);
        let rings = kind(&record, &desk.extension).is_some_and(Kind::is_ringing);
        if !is_own_site || !rings {
            return Ok(Claimed::NotRinging);
        }
        if gateway.claims.claim(&claim, now).await? {
            return Ok(Claimed::Won);
        }
        let other = gateway.claims.claim_of(&id, now).await?;
        Ok(Claimed::Lost(other.map(|other| other.user)))
    };
    match claimed.await {
        Ok(Claimed::Won) => json_response(StatusCode::OK, json!({ "claimed": true }).to_string()),
        Ok(Claimed::Lost(by)) => {
            let by = by.unwrap_or_else(|| "a colleague".to_owned());
            error_response(StatusCode::CONFLICT, "taken", &format!("{by} took it"))
        }
        Ok(Claimed::NotRinging) => error_response(
            StatusCode::NOT_FOUND,
            "not_ringing",
            "this call does not ring at your phone",
        ),
        Err(error) => unavailable_response(&error),
    }
}

enum Claimed {
    Won,
    /// With the name of the agent who has it.
    Lost(Option<String>),
    NotRinging,
}

/// Gives a call back to the others.
pub(in crate::gateway) async fn release(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
    parameters: Result<QueryString<AgentParameters>, QueryRejection>,
) -> Response {
    let desk = match Desk::of(&principal, parameters) {
        Ok(desk) => desk,
        Err(response) => return *response,
    };

    match gateway.claims.release(&id, &desk.name).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => unavailable_response(&error),
    }
}
