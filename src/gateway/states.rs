//! The states of calls for other programs: they register calls of their own, join their sessions to
//! ours, and find one from the other. Over REST, and for code of this program as methods of the
//! same names.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query as Parameters, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Json, Router, routing};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Gateway;
use super::api::{problem, text, unavailable};
use super::query_text::{DIRECTIONS, STATUSES};
use crate::domain::fact::Site;
use crate::domain::time::{At, Span};
use crate::port::clock::Clock;
use crate::port::live::{LiveDirectory, StateKey};
use crate::port::states::{CallState, PHONE_PROVIDER, StateChange, StateError, StateLedger};
use crate::wire::instant;

const NAME_BYTES_MAX: usize = 128;
const METADATA_BYTES_MAX: usize = 64 * 1024;
const ACTIVE_MAX: u32 = 10_000;
/// A call of another program that never ended is closed after this long.
const LONGEST: Span = Span::seconds(4 * 3_600);

/// The call-state manager.
#[derive(Clone)]
pub struct CallStates {
    pub ledger: Arc<dyn StateLedger>,
    pub directory: Option<Arc<dyn LiveDirectory>>,
    pub clock: Arc<dyn Clock>,
}

/// A call that another program registers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    call_id: String,
    session_id: Option<String>,
    #[serde(default = "other")]
    provider: String,
    site: Option<String>,
    #[serde(default = "inbound")]
    direction: String,
    #[serde(default = "initiated")]
    status: String,
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

fn other() -> String {
    "other".to_owned()
}

fn inbound() -> String {
    "inbound".to_owned()
}

fn initiated() -> String {
    "initiated".to_owned()
}

impl CallStates {
    /// Registers a call, or joins a session to one that is known.
    pub async fn register_call(&self, state: CallState) -> Result<CallState, StateError> {
        let stored = self.ledger.register(&state).await?;
        self.show(&stored).await;
        Ok(stored)
    }

    /// Changes the state of a call that another program registered.
    pub async fn update_call_status(
        &self,
        call_id: &str,
        status: &str,
        metadata: Option<String>,
    ) -> Result<CallState, StateError> {
        self.change(
            call_id,
            status,
            metadata,
            matches!(status, "completed" | "failed"),
        )
        .await
    }

    pub async fn end_call(&self, call_id: &str) -> Result<CallState, StateError> {
        self.change(call_id, "completed", None, true).await
    }

    async fn change(
        &self,
        call_id: &str,
        status: &str,
        metadata: Option<String>,
        ends: bool,
    ) -> Result<CallState, StateError> {
        let (call_id, status) = (call_id.to_owned(), status.to_owned());
        let change = StateChange {
            call_id,
            status,
            metadata,
            now: self.clock.now(),
            ends,
        };
        match self.ledger.update(&change).await? {
            None => Err(StateError::NotFound),
            Some((state, true)) => {
                self.show(&state).await;
                Ok(state)
            }
            Some((state, false)) if state.provider == PHONE_PROVIDER => {
                Err(StateError::OwnedByPhones)
            }
            // Ending twice is ending once.
            Some((state, false)) if ends && state.ended_at.is_some() => Ok(state),
            Some(_) => Err(StateError::Ended),
        }
    }

    pub async fn get_call_by_id(&self, call_id: &str) -> Result<Option<Value>, StateError> {
        if let Some(shown) = self.look(StateKey::Call(call_id)).await {
            return Ok(Some(shown));
        }
        Ok(self.ledger.by_id(call_id).await?.as_ref().map(state_json))
    }

    pub async fn get_session_for_call(&self, call_id: &str) -> Result<Option<String>, StateError> {
        let call = self.get_call_by_id(call_id).await?;
        Ok(call.and_then(|call| call["session_id"].as_str().map(ToOwned::to_owned)))
    }

    pub async fn get_call_for_session(
        &self,
        session_id: &str,
    ) -> Result<Option<Value>, StateError> {
        if let Some(Value::String(call_id)) = self.look(StateKey::Session(session_id)).await {
            return self.get_call_by_id(&call_id).await;
        }
        Ok(self
            .ledger
            .by_session(session_id)
            .await?
            .as_ref()
            .map(state_json))
    }

    pub async fn get_active_calls(&self) -> Result<Vec<CallState>, StateError> {
        Ok(self.ledger.active(ACTIVE_MAX).await?)
    }

    /// Closes what was never ended, and returns what goes on: for a program that was restarted.
    /// Calls of phones are recovered by their worker.
    pub async fn recover_active_calls(&self) -> Result<(u64, Vec<CallState>), StateError> {
        let now = self.clock.now();
        let closed = self.ledger.close_older(now - LONGEST, now).await?;
        Ok((closed, self.get_active_calls().await?))
    }

    async fn look(&self, key: StateKey<'_>) -> Option<Value> {
        serde_json::from_str(&self.directory.as_ref()?.state(key).await?).ok()
    }

    /// After it is stored. States of phones' calls change without us: they are looked up where they
    /// are.
    async fn show(&self, state: &CallState) {
        let Some(directory) = &self.directory else {
            return;
        };
        if state.provider != PHONE_PROVIDER {
            directory
                .set_state(
                    StateKey::Call(&state.call_id),
                    &state_json(state).to_string(),
                )
                .await;
        }
        if let Some(session) = &state.session_id {
            directory
                .set_state(
                    StateKey::Session(session),
                    &json!(state.call_id).to_string(),
                )
                .await;
        }
    }
}

fn state_json(state: &CallState) -> Value {
    json!({
        "call_id": state.call_id,
        "session_id": state.session_id,
        "provider": state.provider,
        "site": state.site,
        "direction": state.direction,
        "status": state.status,
        "from_number": state.from_number.as_deref(),
        "to_number": state.to_number.as_deref(),
        "metadata": serde_json::from_str::<Value>(&state.metadata).unwrap_or_default(),
        "created_at": instant::text(state.created_at),
        "updated_at": instant::text(state.updated_at),
        "ended_at": state.ended_at.map(instant::text),
    })
}

impl Registration {
    fn state(self, now: At) -> Result<CallState, String> {
        let name = |what: &str, text: &str| {
            let plain =
                (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
            if plain {
                Ok(())
            } else {
                Err(format!(
                    "`{what}` must have 1 to {NAME_BYTES_MAX} bytes and no control characters"
                ))
            }
        };
        name("call_id", &self.call_id)?;
        name("provider", &self.provider)?;
        for (what, text) in [
            ("session_id", &self.session_id),
            ("from", &self.from),
            ("to", &self.to),
        ] {
            text.as_deref().map_or(Ok(()), |text| name(what, text))?;
        }
        if self.provider == PHONE_PROVIDER {
            return Err(
                "calls of phones are made from their events; register calls of other providers"
                    .to_owned(),
            );
        }
        let site = self
            .site
            .as_deref()
            .map_or_else(|| Some(Site::default()), Site::parse)
            .ok_or("`site` is no site name")?;
        one_of("direction", &self.direction, &DIRECTIONS)?;
        one_of("status", &self.status, &STATUSES)?;
        Ok(CallState {
            call_id: self.call_id,
            session_id: self.session_id,
            provider: self.provider,
            site: site.as_str().to_owned(),
            direction: self.direction,
            status: self.status,
            from_number: self.from.as_deref().map(Into::into),
            to_number: self.to.as_deref().map(Into::into),
            metadata: metadata(self.metadata)?,
            created_at: now,
            updated_at: now,
            ended_at: None,
        })
    }
}

fn metadata(given: Map<String, Value>) -> Result<String, String> {
    let text = Value::Object(given).to_string();
    // What no database can hold in JSON.
    let holds_nul = text.contains("\\u0000");
    if text.len() > METADATA_BYTES_MAX || holds_nul {
        return Err(format!(
            "`metadata` must have at most {METADATA_BYTES_MAX} bytes and no NUL"
        ));
    }
    Ok(text)
}

fn one_of(what: &str, given: &str, known: &[&str]) -> Result<(), String> {
    if known.contains(&given) {
        Ok(())
    } else {
        Err(format!("`{what}` is one of {}", known.join(", ")))
    }
}

/// `/api/v1/call-states`.
pub(super) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/", routing::post(register).get(find))
        .route("/recover", routing::post(recover))
        .route("/{id}", routing::get(by_id).patch(update))
        .route("/{id}/end", routing::post(end))
        .route("/{id}/session", routing::get(session))
}

async fn register(
    State(gateway): State<Gateway>,
    body: Result<Json<Registration>, JsonRejection>,
) -> Response {
    let read = body
        .map_err(|error| error.body_text())
        .and_then(|Json(body)| body.state(gateway.states.clock.now()));
    match read {
        Ok(state) => told(
            StatusCode::CREATED,
            gateway.states.register_call(state).await,
        ),
        Err(message) => problem(StatusCode::BAD_REQUEST, "bad_body", &message),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    status: String,
    metadata: Option<Map<String, Value>>,
}

async fn update(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    body: Result<Json<Change>, JsonRejection>,
) -> Response {
    let read = body
        .map_err(|error| error.body_text())
        .and_then(|Json(change)| {
            one_of("status", &change.status, &STATUSES)?;
            Ok((change.status, change.metadata.map(metadata).transpose()?))
        });
    match read {
        Ok((status, metadata)) => told(
            StatusCode::OK,
            gateway
                .states
                .update_call_status(&id, &status, metadata)
                .await,
        ),
        Err(message) => problem(StatusCode::BAD_REQUEST, "bad_body", &message),
    }
}

async fn end(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    told(StatusCode::OK, gateway.states.end_call(&id).await)
}

async fn by_id(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    found(gateway.states.get_call_by_id(&id).await)
}

async fn session(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    found(
        gateway
            .states
            .get_session_for_call(&id)
            .await
            .map(|session| session.map(|session| json!({ "session_id": session }))),
    )
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    session: Option<String>,
}

async fn find(
    State(gateway): State<Gateway>,
    question: Result<Parameters<Question>, QueryRejection>,
) -> Response {
    match question {
        Ok(Parameters(Question {
            session: Some(session),
        })) => found(gateway.states.get_call_for_session(&session).await),
        Ok(_) => match gateway.states.get_active_calls().await {
            Ok(active) => text(
                StatusCode::OK,
                json!({ "calls": active.iter().map(state_json).collect::<Vec<_>>() }).to_string(),
            ),
            Err(error) => refused(&error),
        },
        Err(rejection) => problem(
            StatusCode::BAD_REQUEST,
            "bad_parameter",
            &rejection.body_text(),
        ),
    }
}

async fn recover(State(gateway): State<Gateway>) -> Response {
    match gateway.states.recover_active_calls().await {
        Ok((closed, active)) => {
            let calls: Vec<Value> = active.iter().map(state_json).collect();
            text(
                StatusCode::OK,
                json!({ "closed": closed, "calls": calls }).to_string(),
            )
        }
        Err(error) => refused(&error),
    }
}

fn told(status: StatusCode, done: Result<CallState, StateError>) -> Response {
    match done {
        Ok(state) => text(status, state_json(&state).to_string()),
        Err(error) => refused(&error),
    }
}

fn found(found: Result<Option<Value>, StateError>) -> Response {
    match found {
        Ok(Some(found)) => text(StatusCode::OK, found.to_string()),
        Ok(None) => refused(&StateError::NotFound),
        Err(error) => refused(&error),
    }
}

fn refused(error: &StateError) -> Response {
    match error {
        StateError::Ledger(error) => unavailable(error),
        StateError::NotFound => problem(StatusCode::NOT_FOUND, "not_found", &error.to_string()),
        StateError::OwnedByPhones => problem(StatusCode::CONFLICT, "not_yours", &error.to_string()),
        StateError::Ended => problem(StatusCode::CONFLICT, "over", &error.to_string()),
    }
}
