//! The routes of the event log, `/api/v1/call-events`.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::{ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::keeper::EventKeeper;
use super::today::{CallEvents, by_call, events_of, mask_ids};
use crate::access::{Principal, Right, SiteScope};
use crate::domain::time::{At, Span};
use crate::gateway::Gateway;
use crate::gateway::parameters::{
    Limit, Parameters, PlainText, SiteName, bad_body, checked_limit, query, require_one_of,
    require_plain,
};
use crate::gateway::programs::check_name;
use crate::gateway::response::{
    bad_parameter, document_response, error_response, no_right, unavailable_response,
};
use crate::gateway::visible::site_of;
use crate::port::error::LedgerError;
use crate::port::event_log::{LoggedEvent, PENDING, Stretch};
use crate::port::query::CallFilter;
use crate::wire::instant;
use crate::wire::names::{one_of, schemas};

/// The types of events of other programs.
const TYPES: [&str; 5] = [
    "call_authenticated",
    "authentication_failed",
    "intent_detected",
    "shift_opened",
    "staff_notified",
];
const DATA_BYTES_MAX: usize = 16 * 1024;
/// The range of an event's instant: behind the clock of the gateway, and ahead of it.
const AGE_MAX: Span = Span::seconds(24 * 3_600);
const AHEAD_MAX: Span = Span::seconds(60);
const MINUTES_MIN: u32 = 5;
const MINUTES_MAX: u32 = 24 * 60;
const MINUTES: u32 = 60;
const LIMIT: u32 = 200;
/// Events that are read for one answer, the newest ones, and bytes of their data.
const EVENTS_MAX: usize = 5_000;
const EVENTS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Calls from which events follow where there is no log, and how much earlier than their events they
/// may have begun.
const CALLS_MAX: u32 = 2_000;
const CALL_LENGTH_MAX: Span = Span::seconds(4 * 3_600);
/// Logs that are read for one answer without a site, and the least that is read of each.
const LOGS_MAX: usize = 200;
const SHARE_MIN: usize = 100;

schemas! {
    ProgramEventType = one_of(&TYPES), "What a program did in a call.";
    EventMinutes = minutes_schema(), "The length of the range in minutes.";
}

fn minutes_schema() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(MINUTES_MIN))
        .maximum(Some(MINUTES_MAX))
}

pub(in crate::gateway) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::default().routes(routes!(append, find))
}

/// An event of another program.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewEvent {
    /// The id of the call, 1 to 128 bytes.
    call_id: String,
    #[schema(value_type = ProgramEventType)]
    event_type: String,
    /// Within the last 24 hours; now if absent.
    #[schema(format = DateTime)]
    timestamp: Option<String>,
    /// At most 16 KiB.
    #[serde(default)]
    #[schema(value_type = Object)]
    data: Map<String, Value>,
}

impl NewEvent {
    const FIELDS: &str = "`call_id`, `event_type`, and optionally `timestamp` and `data`";

    fn into_event(self, now: At) -> Result<LoggedEvent, String> {
        check_name("call_id", &self.call_id)?;
        require_one_of("event_type", &self.event_type, &TYPES)?;
        let at = match &self.timestamp {
            None => now,
            Some(text) => instant::parse(text)
                .map_err(|error| format!("`timestamp` is no instant: {error}"))?,
        };
        if at < now - AGE_MAX || at > now + AHEAD_MAX {
            return Err("`timestamp` must be within the last 24 hours".to_owned());
        }
        let data = Value::Object(self.data).to_string();
        if data.len() > DATA_BYTES_MAX {
            return Err(format!("`data` must have at most {DATA_BYTES_MAX} bytes"));
        }

        Ok(LoggedEvent {
            event_type: self.event_type,
            call_id: self.call_id,
            log: PENDING.to_owned(),
            at,
            data: data.as_str().into(),
        })
    }
}

/// Where an event was appended.
#[derive(Serialize, ToSchema)]
struct AppendedEvent {
    call_id: String,
    event_type: String,
    /// The site of the call; `pending` until it is known.
    provider_id: String,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// Adds an event of another program to the log of its call.
///
/// Where the call is not known, the event waits for it under `pending`. Needs the right to register
/// calls.
#[utoipa::path(
    post,
    path = "/api/v1/call-events",
    operation_id = "add_call_event",
    tag = "Call events",
    request_body = NewEvent,
    responses(
        (status = 201, description = "The event was added.", body = AppendedEvent),
        (status = 400, description = "`bad_body`: the body is not such an object."),
        (status = 403, description = "`no_right`: events are for integrators and admins of all sites."),
        (status = 409, description = "`no_redis`: events are kept in Redis, and none is configured."),
        (status = 503, description = "`unavailable`: Redis did not take the event."),
    ),
)]
async fn append(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    body: Result<Json<NewEvent>, JsonRejection>,
) -> Response {
    if !principal.may(Right::States) || principal.sites != SiteScope::All {
        return no_right("events are for integrators and admins of all sites");
    }
    let event = body
        .map_err(|error| bad_body(&error, NewEvent::FIELDS))
        .and_then(|Json(body)| body.into_event(gateway.clock.now()));
    let event = match event {
        Ok(event) => event,
        Err(message) => return error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    };
    let Some(keeper) = &gateway.events else {
        return error_response(
            StatusCode::CONFLICT,
            "no_redis",
            "events of programs are kept in Redis, and `live.url` is not set",
        );
    };

    let (call_id, event_type, at) = (event.call_id.clone(), event.event_type.clone(), event.at);
    match keeper.append(event).await {
        Some(log) => {
            let appended = AppendedEvent {
                call_id,
                event_type,
                provider_id: log,
                timestamp: instant::text(at),
            };
            document_response(StatusCode::CREATED, &appended)
        }
        None => error_response(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Redis did not take the event; send it again",
        ),
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventParameters {
    /// The PBX. An account of one site needs no name of a site.
    #[param(inline, value_type = Option<SiteName>)]
    site: Option<String>,
    /// The last minutes that are read, 5 to 1,440; 60 if absent.
    #[param(inline, value_type = Option<EventMinutes>)]
    minutes: Option<u32>,
    /// Only the events of this call.
    #[param(inline, value_type = Option<PlainText>)]
    call_id: Option<String>,
    /// The number of calls.
    #[param(inline, value_type = Option<Limit>)]
    limit: Option<u32>,
}

impl Parameters for EventParameters {
    const NAMES: &'static str = "`site`, `minutes`, `call_id` and `limit`";
}

/// What happened in the calls of a range.
#[derive(Serialize, ToSchema)]
struct EventList {
    /// `log`, or `calls` where Redis is absent or does not answer: the events then follow from the
    /// records, and those of other programs are missing.
    source: &'static str,
    /// The call with the newest event first.
    calls: Vec<CallEvents>,
}

/// What happened in the calls of the last minutes.
#[utoipa::path(
    get,
    path = "/api/v1/call-events",
    operation_id = "find_call_events",
    tag = "Call events",
    params(EventParameters),
    responses((status = 200, description = "Events by call.", body = EventList)),
)]
async fn find(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<EventParameters>, QueryRejection>,
) -> Response {
    let checked = query(parameters).and_then(|parameters| {
        let limit = checked_limit(parameters.limit, LIMIT)?;
        let minutes = parameters.minutes.unwrap_or(MINUTES);
        require_plain("call_id", parameters.call_id.as_deref())?;
        if !(MINUTES_MIN..=MINUTES_MAX).contains(&minutes) {
            return Err(format!("`minutes` must be {MINUTES_MIN} to {MINUTES_MAX}"));
        }
        Ok((parameters.site, minutes, parameters.call_id, limit))
    });
    let (site, minutes, call, limit) = match checked {
        Ok(checked) => checked,
        Err(message) => return bad_parameter(&message),
    };
    let site = match site_of(&principal, site) {
        Ok(site) => site,
        Err(response) => return *response,
    };

    let is_number = |call: &String| uuid::Uuid::parse_str(call).is_err();
    if !principal.sees_all_numbers() && call.as_ref().is_some_and(is_number) {
        return no_right(
            "the ids that programs choose may be numbers, which this role does not see",
        );
    }

    let range = Range {
        site,
        call,
        since: gateway.clock.now() - Span::seconds(i64::from(minutes) * 60),
    };
    let read = match logged(&gateway, &range).await {
        Ok(Some(events)) => Ok(("log", events)),
        Ok(None) => recorded(&gateway, &range)
            .await
            .map(|events| ("calls", events)),
        Err(error) => Err(error),
    };
    let listed = match read {
        Ok((source, events)) => {
            let mut calls = by_call(&principal, &events);
            calls.truncate(limit as usize);
            note_ends(&gateway, &mut calls)
                .await
                .map(|()| EventList { source, calls })
        }
        Err(error) => Err(error),
    };
    match listed {
        Ok(mut list) => {
            mask_ids(&principal, &mut list.calls);
            document_response(StatusCode::OK, &list)
        }
        Err(error) => unavailable_response(&error),
    }
}

/// The requested part of the logs.
struct Range {
    site: Option<String>,
    call: Option<String>,
    since: At,
}

/// Events of the logs; `None` where they cannot be read.
async fn logged(gateway: &Gateway, range: &Range) -> Result<Option<Vec<LoggedEvent>>, LedgerError> {
    let Some(keeper) = &gateway.events else {
        return Ok(None);
    };
    let Some(logs) = logs(gateway, keeper, range).await? else {
        return Ok(None);
    };

    let now = keeper.clock.now();
    let mut events = Vec::new();
    let mut bytes = 0;
    for log in &logs {
        let stretch = Stretch {
            log,
            since: range.since,
            now,
            call: range.call.as_deref(),
            max: (EVENTS_MAX / logs.len()).max(SHARE_MIN),
            bytes_max: EVENTS_BYTES_MAX - bytes,
        };
        let Some(stored) = keeper.log.read(stretch).await else {
            return Ok(None);
        };
        bytes += stored.iter().map(|one| one.event.data.len()).sum::<usize>();
        events.extend(stored.into_iter().map(|stored| stored.event));
        if bytes >= EVENTS_BYTES_MAX {
            break;
        }
    }

    events.sort_by_key(|event| event.at);
    Ok(Some(events))
}

/// The logs that may have what is asked for.
async fn logs(
    gateway: &Gateway,
    keeper: &EventKeeper,
    range: &Range,
) -> Result<Option<Vec<String>>, LedgerError> {
    if let Some(site) = &range.site {
        return Ok(Some(vec![site.clone()]));
    }

    if let Some(call) = &range.call {
        let places = keeper.states.places(std::slice::from_ref(call)).await?;
        let mut logs = vec![PENDING.to_owned()];
        logs.extend(places.into_iter().next().map(|place| place.site));
        return Ok(Some(logs));
    }
    let Some(of_programs) = keeper.log.sites().await else {
        return Ok(None);
    };
    let mut logs: BTreeSet<String> = gateway.query.sites().await?.into_iter().collect();
    logs.extend(of_programs);
    logs.insert(PENDING.to_owned());
    Ok(Some(logs.into_iter().take(LOGS_MAX).collect()))
}

/// Events as the records of calls tell of them.
async fn recorded(gateway: &Gateway, range: &Range) -> Result<Vec<LoggedEvent>, LedgerError> {
    let records: Vec<String> = if let Some(call) = &range.call {
        gateway.query.call(call).await?.into_iter().collect()
    } else {
        let filter = CallFilter {
            site: range.site.clone(),
            since: Some((range.since - CALL_LENGTH_MAX).0),
            limit: CALLS_MAX,
            ..CallFilter::default()
        };
        let calls = gateway.query.calls(&filter).await?;
        calls.into_iter().map(|call| call.record).collect()
    };

    let mut events: Vec<LoggedEvent> = records
        .iter()
        .flat_map(|record| events_of(record))
        .filter(|event| event.at >= range.since)
        .filter(|event| range.site.as_ref().is_none_or(|site| event.log == *site))
        .collect();
    events.sort_by_key(|event| event.at);
    Ok(events)
}

/// Looks which calls of other programs are over: their events do not tell.
async fn note_ends(gateway: &Gateway, calls: &mut [CallEvents]) -> Result<(), LedgerError> {
    let of_programs: Vec<String> = calls
        .iter()
        .filter(|call| call.has_no_record())
        .map(|call| call.call_id.clone())
        .collect();
    if of_programs.is_empty() {
        return Ok(());
    }

    let places = gateway.states.ledger.places(&of_programs).await?;
    let over: HashSet<String> = places
        .into_iter()
        .filter(|place| place.is_over)
        .map(|place| place.call_id)
        .collect();
    for call in calls {
        if over.contains(&call.call_id) {
            call.in_progress = false;
        }
    }
    Ok(())
}
