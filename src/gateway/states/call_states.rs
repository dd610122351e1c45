//! The call-state manager: the ledger is the truth, the live view answers look-ups faster.
//!
//! The keys of a call in the live view are removed before the ledger changes, so that a process that
//! ends in between leaves nothing outdated there. After the change they are written as the ledger
//! has it, and the ledger is read once more: the gateway that writes last sees what another one has
//! changed meanwhile.
//!
//! A key that cannot be removed or written is noted in the ledger, before the change. Every gateway
//! tries to write such keys each second, so what one of them could not write, or left behind when it
//! died, another one corrects.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::chain::Chain;
use crate::domain::time::Span;
use crate::port::clock::Clock;
use crate::port::error::LedgerError;
use crate::port::live::LiveDirectory;
use crate::port::states::{
    CallState, PHONE_PROVIDER, Registered, StateChange, StateError, StateLedger, StateName,
};
use crate::wire::{instant, names};

const ACTIVE_CALLS_MAX: u32 = 10_000;
/// Age at which a recovery closes a call of another program that was never ended.
const UNENDED_CALL_MAX: Span = Span::seconds(4 * 3_600);

/// Ends of this time are written again: longer than between two rounds.
const ENDED_AGAIN: Span = Span::seconds(150);

const REAP_EVERY: Duration = Duration::from_mins(1);
/// Keys that could not be removed are tried again this often.
const REPAIR_EVERY: Duration = Duration::from_secs(1);
/// Keys that are written again in one round.
const REPAIRS_AT_ONCE: u32 = 1_000;
/// Times that a key is written because the ledger has changed meanwhile; then it waits for the next
/// repair.
const WRITES_MAX: u32 = 10;

/// The call-state manager.
#[derive(Clone)]
pub struct CallStates {
    pub ledger: Arc<dyn StateLedger>,
    pub directory: Option<Arc<dyn LiveDirectory>>,
    pub clock: Arc<dyn Clock>,
    pub outdated: Outdated,
}

/// Keys of the live view that this gateway knows to be outdated, and since when: it does not read
/// them.
#[derive(Clone, Default)]
pub struct Outdated(Arc<Mutex<HashMap<StateName, Instant>>>);

impl CallStates {
    /// Registers a call, or joins a session to a call that exists.
    pub async fn register_call(&self, state: CallState) -> Result<CallState, StateError> {
        self.forget(call_name(&state.call_id)).await?;
        if let Some(session) = &state.session_id {
            self.forget(session_name(session)).await?;
        }
        let registered = self.ledger.register(&state).await?;
        let stored = registered.state;
        if !registered.is_stored && stored.provider != PHONE_PROVIDER {
            return Err(StateError::Full);
        }
        self.publish(stored.clone()).await;
        let sessions = [&registered.session_before, &stored.session_id];
        for session in sessions.into_iter().flatten() {
            self.publish_session(session).await;
        }

        Ok(stored)
    }

    /// Changes the state of a call that another program registered.
    pub async fn update_call_status(
        &self,
        call_id: &str,
        status: &str,
        metadata: Option<String>,
    ) -> Result<CallState, StateError> {
        let ends = matches!(status, "completed" | "failed");
        self.change(call_id, status, metadata, ends).await
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
        let change = StateChange {
            call_id: call_id.to_owned(),
            status: status.to_owned(),
            metadata,
            now: self.clock.now(),
            ends,
        };

        self.forget(call_name(call_id)).await?;
        match self.ledger.update(&change).await? {
            None => Err(StateError::NotFound),
            Some((state, true)) => {
                self.publish(state.clone()).await;
                Ok(state)
            }
            Some((state, false)) if state.provider == PHONE_PROVIDER => {
                Err(StateError::OwnedByPhones)
            }
            // A second end of the same call is idempotent.
            Some((state, false)) if ends && state.ended_at.is_some() => {
                self.publish(state.clone()).await;
                Ok(state)
            }
            Some((state, false)) if state.ended_at.is_some() => Err(StateError::Ended),
            Some(_) => Err(StateError::Full),
        }
    }

    pub async fn get_call_by_id(&self, call_id: &str) -> Result<Option<Value>, StateError> {
        if let Some(state) = self.live_state(&call_name(call_id)).await {
            return Ok(Some(state));
        }

        Ok(self.ledger.by_id(call_id).await?.as_ref().map(state_value))
    }

    pub async fn get_session_for_call(&self, call_id: &str) -> Result<Option<String>, StateError> {
        let call = self.get_call_by_id(call_id).await?;

        Ok(call.and_then(|call| call["session_id"].as_str().map(ToOwned::to_owned)))
    }

    pub async fn get_call_for_session(
        &self,
        session_id: &str,
    ) -> Result<Option<Value>, StateError> {
        if let Some(Value::String(call_id)) = self.live_state(&session_name(session_id)).await {
            let call = self.get_call_by_id(&call_id).await?;
            // The call may have got another session since.
            if call
                .as_ref()
                .is_some_and(|call| call["session_id"] == session_id)
            {
                return Ok(call);
            }
        }

        let state = self.ledger.by_session(session_id).await?;
        Ok(state.as_ref().map(state_value))
    }

    /// Calls that are going on, the oldest first, at most `max`.
    pub async fn get_active_calls(&self, max: u32) -> Result<Vec<CallState>, StateError> {
        Ok(self.ledger.active(max.min(ACTIVE_CALLS_MAX)).await?)
    }

    /// Parts a call from its session. The call stays, for the history.
    pub async fn unregister_call(&self, call_id: &str) -> Result<(), StateError> {
        self.unregister(Registered::Call(call_id)).await
    }

    /// Parts a session from its calls.
    pub async fn unregister_session(&self, session_id: &str) -> Result<(), StateError> {
        self.unregister(Registered::Session(session_id)).await
    }

    async fn unregister(&self, what: Registered<'_>) -> Result<(), StateError> {
        self.forget(match what {
            Registered::Call(call) => call_name(call),
            Registered::Session(session) => session_name(session),
        })
        .await?;
        let parted = self.ledger.unregister(what).await?;
        if parted.is_empty() {
            return Err(StateError::NotFound);
        }

        for joined in parted {
            self.publish_stored(&joined.call_id).await;
            if let Some(session) = &joined.session_id {
                self.publish_session(session).await;
            }
        }
        Ok(())
    }

    /// Removes a key before the ledger changes.
    async fn forget(&self, name: StateName) -> Result<(), LedgerError> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };

        if !directory.forget_state(&name).await {
            self.ledger.note_outdated(&name).await?;
            self.distrust(name);
        }
        Ok(())
    }

    fn distrust(&self, name: StateName) {
        self.outdated.0.lock().insert(name, Instant::now());
    }

    /// Notes a key that was not written. Another gateway may have corrected it before this change, so
    /// it is noted again each time.
    async fn note(&self, name: StateName) {
        if let Err(error) = self.ledger.note_outdated(&name).await {
            tracing::warn!(error = %Chain(&error), "a state in Redis may be outdated");
        }

        self.distrust(name);
    }

    /// Writes keys that this gateway or another one could not write before.
    async fn repair(&self) -> Result<(), LedgerError> {
        if self.directory.is_none() {
            return Ok(());
        }
        let now = Instant::now();
        let outdated = self.ledger.outdated(REPAIRS_AT_ONCE).await?;
        self.outdated.0.lock().retain(|_, noted| *noted >= now);
        for listed in &outdated {
            self.distrust(listed.name.clone());
        }

        for listed in outdated {
            let is_written = match &listed.name {
                StateName::Call(call) => self.publish_stored(call).await,
                StateName::Session(session) => self.publish_session(session).await,
            };
            if !is_written {
                // The view does not answer: the others can wait too.
                return Ok(());
            }
            self.ledger.forget_outdated(&listed).await?;
        }
        Ok(())
    }

    /// Closes old calls that were never ended, and returns their number and the active calls: for a
    /// program after its restart. Calls of phones are recovered by their worker.
    pub async fn recover_active_calls(&self) -> Result<(u64, Vec<CallState>), StateError> {
        let closed = self.close_old_calls().await?;

        Ok((closed, self.get_active_calls(ACTIVE_CALLS_MAX).await?))
    }

    /// Closes calls that have reached the longest duration, and corrects the live view.
    async fn close_old_calls(&self) -> Result<u64, StateError> {
        let now = self.clock.now();
        let closed = self.ledger.close_older(now - UNENDED_CALL_MAX, now).await?;
        let number = closed.len() as u64;
        for state in closed {
            self.publish(state).await;
        }

        Ok(number)
    }

    /// Closes calls of other programs at their longest duration, from the start on: of a call that
    /// was registered before a restart the rest of its time counts.
    pub async fn reap(self, stop: CancellationToken) {
        let mut rounds = interval(REAP_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut repairs = interval(REPAIR_EVERY);
        repairs.set_missed_tick_behavior(MissedTickBehavior::Delay);

        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                _ = repairs.tick() => {
                    if let Err(error) = self.repair().await {
                        tracing::debug!(error = %Chain(&error), "states in Redis stay outdated");
                    }
                    continue;
                }
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.restore().await {
                tracing::debug!(error = %Chain(&error), "states that Redis has lost stay so");
            }
            match self.close_old_calls().await {
                Ok(0) => {}
                Ok(closed) => tracing::info!(
                    closed,
                    "calls of other programs without an end are closed: they began four hours ago"
                ),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "old calls of other programs stay open");
                }
            }
        }
    }

    /// Writes open calls of other programs that the live view has lost, and once more those that ended
    /// a moment ago: a gateway that died in between has left them among the open ones.
    async fn restore(&self) -> Result<(), LedgerError> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };

        let since = self.clock.now() - ENDED_AGAIN;
        for state in self.ledger.ended_since(since, ACTIVE_CALLS_MAX).await? {
            if !self.publish(state).await {
                // The view does not answer.
                return Ok(());
            }
        }

        for state in self.ledger.active(ACTIVE_CALLS_MAX).await? {
            let name = call_name(&state.call_id);
            if state.provider == PHONE_PROVIDER || directory.state(&name).await.is_some() {
                continue;
            }
            if !self.publish(state).await {
                // The view does not answer.
                return Ok(());
            }
        }
        Ok(())
    }

    async fn live_state(&self, name: &StateName) -> Option<Value> {
        if self.outdated.0.lock().contains_key(name) {
            return None;
        }
        let text = self.directory.as_ref()?.state(name).await?;
        serde_json::from_str(&text).ok()
    }

    /// Writes a stored state to the live view, and returns whether it says what the ledger says. States
    /// of phone calls are left out: workers change them, so a look-up reads them from the ledger.
    async fn publish(&self, mut state: CallState) -> bool {
        let Some(directory) = &self.directory else {
            return true;
        };
        if state.provider == PHONE_PROVIDER {
            return true;
        }

        let call = state.call_id.clone();
        for _ in 0..WRITES_MAX {
            let json = state_value(&state).to_string();
            if !directory.set_call(&state, &json).await {
                break;
            }
            match self.ledger.by_id(&call).await {
                Ok(Some(stored)) if stored.updated_at == state.updated_at => return true,
                Ok(Some(stored)) => state = stored,
                Ok(None) | Err(_) => break,
            }
        }
        self.note(call_name(&call)).await;
        false
    }

    async fn publish_stored(&self, call: &str) -> bool {
        let Some(directory) = &self.directory else {
            return true;
        };

        let is_written = match self.ledger.by_id(call).await {
            Ok(Some(state)) if state.provider != PHONE_PROVIDER => {
                return self.publish(state).await;
            }
            Ok(_) => directory.forget_state(&call_name(call)).await,
            Err(_) => false,
        };
        if !is_written {
            self.note(call_name(call)).await;
        }
        is_written
    }

    /// Writes the last call of a session, and returns whether it says what the ledger says.
    async fn publish_session(&self, session: &str) -> bool {
        let Some(directory) = &self.directory else {
            return true;
        };

        let name = session_name(session);
        let mut written = None;
        for _ in 0..WRITES_MAX {
            let Ok(stored) = self.ledger.by_session(session).await else {
                break;
            };
            let call = stored.map(|state| state.call_id);
            if written.as_ref() == Some(&call) {
                return true;
            }
            let is_done = match &call {
                Some(call) => {
                    let json = json!(call).to_string();
                    directory.set_session(session, &json).await
                }
                None => directory.forget_state(&name).await,
            };
            if !is_done {
                break;
            }
            written = Some(call);
        }
        self.note(name).await;
        false
    }
}

fn call_name(call: &str) -> StateName {
    StateName::Call(call.to_owned())
}

fn session_name(session: &str) -> StateName {
    StateName::Session(session.to_owned())
}

/// The state of a call, as programs read it.
#[derive(Serialize, ToSchema)]
#[schema(as = CallState)]
pub(super) struct StateJson {
    call_id: String,
    session_id: Option<String>,
    /// `grandstream` for calls of phones.
    provider: String,
    site: String,
    #[schema(value_type = names::Direction)]
    direction: String,
    #[schema(value_type = names::Status)]
    status: String,
    from_number: Option<String>,
    to_number: Option<String>,
    /// A JSON object of the program; of a phone's call, its record.
    #[schema(value_type = Object)]
    metadata: Value,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
}

impl From<&CallState> for StateJson {
    fn from(state: &CallState) -> StateJson {
        StateJson {
            call_id: state.call_id.clone(),
            session_id: state.session_id.clone(),
            provider: state.provider.clone(),
            site: state.site.clone(),
            direction: state.direction.clone(),
            status: state.status.clone(),
            from_number: state.from_number.as_deref().map(ToOwned::to_owned),
            to_number: state.to_number.as_deref().map(ToOwned::to_owned),
            metadata: serde_json::from_str(&state.metadata).unwrap_or_default(),
            created_at: instant::text(state.created_at),
            updated_at: instant::text(state.updated_at),
            ended_at: state.ended_at.map(instant::text),
        }
    }
}

fn state_value(state: &CallState) -> Value {
    // Texts and JSON values always serialize.
    serde_json::to_value(StateJson::from(state)).unwrap_or_default()
}
