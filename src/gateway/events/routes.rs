//! The routes of the event log, `/api/v1/call-events`.

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

use super::today::{CallEvents, by_call, events_of};
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
use crate::port::event_log::{LoggedEvent, PENDING};
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
/// Events that are read for one answer, the newest ones.
const EVENTS_MAX: usize = 5_000;
/// Calls from which events follow where there is no log.
const CALLS_MAX: u32 = 1_000;
/// Sites whose logs are read for one answer without a site.
const SITES_MAX: usize = 50;

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

    let since = gateway.clock.now() - Span::seconds(i64::from(minutes) * 60);
    let read = match logged(&gateway, site.as_deref(), since).await {
        Ok(Some(events)) => Ok(("log", events)),
        Ok(None) => recorded(&gateway, site, since)
            .await
            .map(|events| ("calls", events)),
        Err(error) => Err(error),
    };
    match read {
        Ok((source, mut events)) => {
            if let Some(call) = call {
                events.retain(|event| event.call_id == call);
            }
            let mut calls = by_call(&principal, &events);
            calls.truncate(limit as usize);
            document_response(StatusCode::OK, &EventList { source, calls })
        }
        Err(error) => unavailable_response(&error),
    }
}

/// Events of the logs; `None` where they cannot be read.
async fn logged(
    gateway: &Gateway,
    site: Option<&str>,
    since: At,
) -> Result<Option<Vec<LoggedEvent>>, LedgerError> {
    let Some(keeper) = &gateway.events else {
        return Ok(None);
    };
    let logs = if let Some(site) = site {
        vec![site.to_owned()]
    } else {
        let mut sites = gateway.query.sites().await?;
        sites.truncate(SITES_MAX);
        sites.push(PENDING.to_owned());
        sites
    };

    let now = keeper.clock.now();
    let share = EVENTS_MAX / logs.len();
    let mut events = Vec::new();
    for log in logs {
        let Some(stored) = keeper.log.read(&log, since, now, share).await else {
            return Ok(None);
        };
        events.extend(stored.into_iter().map(|stored| stored.event));
    }

    events.sort_by_key(|event| event.at);
    Ok(Some(events))
}

/// Events as the records of calls tell of them.
async fn recorded(
    gateway: &Gateway,
    site: Option<String>,
    since: At,
) -> Result<Vec<LoggedEvent>, LedgerError> {
    let filter = CallFilter {
        site,
        since: Some(since.0),
        limit: CALLS_MAX,
        ..CallFilter::default()
    };
    let calls = gateway.query.calls(&filter).await?;

    let mut events: Vec<LoggedEvent> = calls
        .iter()
        .flat_map(|call| events_of(&call.record))
        .filter(|event| event.at >= since)
        .collect();
    events.sort_by_key(|event| event.at);
    Ok(events)
}
