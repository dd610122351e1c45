//! The missed-call desk: callers who wait for a call back, and the people who make it.
//!
//! - Missed calls of one number are one entry with a count; calls without a number stay apart.
//! - An entry is done when a person says so, or when a later call with the number was answered, in
//!   either direction.
//! - An entry belongs to one person at a time: of two who take it, one is refused.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Gateway;
use super::parameters::{
    LIMIT_MAX, Parameters, bad_body, checked_limit, parse_instant, query, require_one_of,
};
use super::response::{
    bad_parameter, error_response, json_response, no_right, unavailable_response,
};
use super::visible::site_of;
use crate::access::{Principal, Right, mask_record};
use crate::domain::private::PrivateText;
use crate::domain::time::{At, Span};
use crate::port::desk::{DeskChange, DeskEntry, DeskStatus, LaterCall};
use crate::port::error::LedgerError;
use crate::wire::call_json::seconds;
use crate::wire::instant;

const STATUSES: [&str; 4] = ["open", "assigned", "done", "all"];
const DISPOSITIONS: [&str; 4] = ["reached", "not_needed", "unreachable", "wrong_number"];
const NOTE_CHARS_MAX: usize = 1_000;
const NAME_CHARS_MAX: usize = 64;
/// Missed calls read for one page: callers who call often fill it with few entries.
const CALLS_MAX: u32 = 1_000;
/// Without `since` the desk shows missed calls of two weeks.
const SHOWN: Span = Span::seconds(14 * 86_400);

/// The query of the desk.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeskParameters {
    site: Option<String>,
    status: Option<String>,
    since: Option<String>,
    limit: Option<u32>,
}

impl Parameters for DeskParameters {
    const NAMES: &'static str = "`site`, `status`, `since` and `limit`";
}

/// The missed calls of one caller.
struct Caller {
    latest: DeskEntry,
    /// All of them, the latest first.
    call_ids: Vec<String>,
    first_missed_at: At,
}

pub(super) async fn entries(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<DeskParameters>, QueryRejection>,
) -> Response {
    let checked = query(parameters).and_then(|parameters| {
        if let Some(status) = &parameters.status {
            require_one_of("status", status, &STATUSES)?;
        }
        let since = parse_instant("since", parameters.since.as_deref())?.map(At);
        let limit = checked_limit(parameters.limit, LIMIT_MAX)?;
        Ok((parameters.site, parameters.status, since, limit))
    });
    let (site, status, since, limit) = match checked {
        Ok(checked) => checked,
        Err(message) => return bad_parameter(&message),
    };
    let site = match site_of(&principal, site) {
        Ok(site) => site,
        Err(response) => return *response,
    };

    let since = since.unwrap_or_else(|| gateway.clock.now() - SHOWN);
    let found = gateway
        .desk
        .entries(site.as_deref(), since, CALLS_MAX)
        .await;
    match found {
        Ok(mut entries) => {
            entries.retain(|entry| is_wanted(status.as_deref(), current_status(entry)));
            let callers = by_caller(entries);
            let shown = callers.iter().take(limit as usize);
            let missed: Vec<Value> = shown
                .map(|caller| caller_json(&principal, caller))
                .collect();
            let document = json!({ "missed": missed, "goal_minutes": gateway.desk_goal_minutes });
            json_response(StatusCode::OK, document.to_string())
        }
        Err(error) => unavailable_response(&error),
    }
}

fn is_wanted(wanted: Option<&str>, status: DeskStatus) -> bool {
    match wanted {
        Some("all") => true,
        Some(wanted) => status.name() == wanted,
        None => status != DeskStatus::Done,
    }
}

/// The status, with what later calls say.
fn current_status(entry: &DeskEntry) -> DeskStatus {
    if entry.reached.is_some() {
        DeskStatus::Done
    } else {
        entry.status
    }
}

/// Joins the missed calls of each number. The order is that of their latest call.
fn by_caller(entries: Vec<DeskEntry>) -> Vec<Caller> {
    let mut callers: Vec<Caller> = Vec::new();
    let mut known: HashMap<(String, String), usize> = HashMap::new();

    for entry in entries {
        let number = entry.e164.as_deref().or(entry.number.as_deref());
        let key = number.map(|number| (entry.site.clone(), number.to_owned()));
        let caller = key.as_ref().and_then(|key| known.get(key).copied());
        if let Some(caller) = caller.map(|index| &mut callers[index]) {
            caller.first_missed_at = entry.missed_at;
            caller.call_ids.push(entry.call_id);
            continue;
        }

        if let Some(key) = key {
            known.insert(key, callers.len());
        }
        callers.push(Caller {
            call_ids: vec![entry.call_id.clone()],
            first_missed_at: entry.missed_at,
            latest: entry,
        });
    }

    callers
}

fn caller_json(principal: &Principal, caller: &Caller) -> Value {
    let entry = &caller.latest;
    let extensions: Value = serde_json::from_str(&entry.extensions).unwrap_or_default();
    let later = |call: &LaterCall| json!({ "call_id": call.call_id, "extension": call.extension });

    let mut document = json!({
        "call_id": entry.call_id,
        "call_ids": caller.call_ids,
        "calls": caller.call_ids.len(),
        "site": entry.site,
        "from": {
            "number": entry.number.as_deref(),
            "e164": entry.e164.as_deref(),
            "name": entry.name.as_deref(),
        },
        "missed_extensions": extensions,
        "started_at": instant::text(entry.started_at),
        "missed_at": instant::text(entry.missed_at),
        "first_missed_at": instant::text(caller.first_missed_at),
        "waited_seconds": entry.waited_us.map(|waited| seconds(Span(waited))),
        "status": current_status(entry).name(),
        "assigned_to": entry.assigned_to,
        "note": entry.note.as_deref(),
        "disposition": entry.disposition,
        "changed_at": entry.changed_at.map(instant::text),
        "changed_by": entry.changed_by,
        "reached_by": entry.reached.as_ref().map(later),
        "being_called_by": entry.calling.as_ref().map(later),
    });
    if !principal.sees_all_numbers() && !rang_at(principal, &document) {
        mask_record(&mut document);
    }

    document
}

/// Whether the phone of the principal rang in vain.
fn rang_at(principal: &Principal, document: &Value) -> bool {
    let Some(own) = &principal.extension else {
        return false;
    };

    document["missed_extensions"]
        .as_array()
        .is_some_and(|extensions| {
            extensions
                .iter()
                .any(|extension| extension.as_str() == Some(own.as_str()))
        })
}

/// A change of some entries.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    call_ids: Vec<String>,
    status: String,
    assigned_to: Option<String>,
    note: Option<String>,
    disposition: Option<String>,
    /// Takes entries from the person who has them.
    #[serde(default)]
    take_over: bool,
}

impl Change {
    const FIELDS: &str = "`call_ids` and `status`, and optionally `assigned_to`, `note`, \
                          `disposition` and `take_over`";

    fn check(&self) -> Result<DeskStatus, String> {
        if self.call_ids.is_empty() || self.call_ids.len() > LIMIT_MAX as usize {
            return Err(format!("`call_ids` must have 1 to {LIMIT_MAX} ids"));
        }
        let status = DeskStatus::parse(&self.status)
            .ok_or_else(|| "`status` must be one of open, assigned, done".to_owned())?;
        if let Some(disposition) = &self.disposition {
            require_one_of("disposition", disposition, &DISPOSITIONS)?;
        }
        for (field, text, max) in [
            ("assigned_to", &self.assigned_to, NAME_CHARS_MAX),
            ("note", &self.note, NOTE_CHARS_MAX),
        ] {
            if let Some(text) = text
                && (text.chars().count() > max || text.contains('\0'))
            {
                return Err(format!("`{field}` must have at most {max} characters"));
            }
        }

        Ok(status)
    }
}

pub(super) async fn change(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    body: Result<Json<Change>, JsonRejection>,
) -> Response {
    if !principal.may(Right::Desk) {
        return no_right("this account cannot change the desk");
    }
    let checked = body
        .map_err(|error| bad_body(&error, Change::FIELDS))
        .and_then(|Json(change)| change.check().map(|status| (change, status)));
    let (change, status) = match checked {
        Ok(checked) => checked,
        Err(message) => return error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    };

    match apply(&gateway, &principal, &change, status).await {
        Ok(changed) if changed.len() == change.call_ids.len() => {
            json_response(StatusCode::OK, json!({ "changed": changed }).to_string())
        }
        Ok(changed) => conflict(&gateway, &principal, &change, &changed).await,
        Err(error) => unavailable_response(&error),
    }
}

/// Changes the entries one by one, and returns the ids of those that were changed.
async fn apply(
    gateway: &Gateway,
    principal: &Principal,
    change: &Change,
    status: DeskStatus,
) -> Result<Vec<String>, LedgerError> {
    let by = principal.name().to_owned();
    let assigned_to = match status {
        DeskStatus::Open => None,
        DeskStatus::Assigned => Some(change.assigned_to.clone().unwrap_or_else(|| by.clone())),
        DeskStatus::Done => change.assigned_to.clone(),
    };
    let mut changed = Vec::new();

    for call_id in &change.call_ids {
        let state = gateway.desk.state(call_id).await?;
        // An entry of another site is as if there were none.
        if !state.is_some_and(|state| principal.sites.contains(&state.site)) {
            continue;
        }
        let one = DeskChange {
            call_id: call_id.clone(),
            status,
            assigned_to: assigned_to.clone(),
            note: change.note.as_deref().map(PrivateText::from),
            disposition: change.disposition.clone(),
            by: by.clone(),
            now: gateway.clock.now(),
            takes_over: change.take_over,
        };
        if gateway.desk.change(&one).await? {
            changed.push(call_id.clone());
        }
    }

    Ok(changed)
}

/// The answer when some entries stayed as they are.
async fn conflict(
    gateway: &Gateway,
    principal: &Principal,
    change: &Change,
    changed: &[String],
) -> Response {
    let left = change.call_ids.iter().find(|id| !changed.contains(id));
    let state = match left {
        Some(id) => gateway.desk.state(id).await.ok().flatten(),
        None => None,
    };

    let state = state.filter(|state| principal.sites.contains(&state.site));
    match state.and_then(|state| state.assigned_to) {
        Some(person) => error_response(
            StatusCode::CONFLICT,
            "taken",
            &format!("{person} has taken this entry"),
        ),
        None => error_response(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such missed call",
        ),
    }
}
