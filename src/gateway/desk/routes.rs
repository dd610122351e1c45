//! The desk over the API: its list, and the changes of people.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::{ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::callers::{SHOWN, callers};
use super::documents::{DISPOSITIONS, DeskState, Disposition, MissedEntry, caller_json};
use super::reading;
use crate::access::{Identity, Principal, Right};
use crate::domain::number::Number;
use crate::domain::text::PrivateText;
use crate::domain::time::At;
use crate::gateway::Gateway;
use crate::gateway::parameters::{
    LIMIT_MAX, Limit, Parameters, SiteName, bad_body, checked_limit, parse_instant, query,
    require_one_of,
};
use crate::gateway::response::{
    bad_parameter, document_response, error_response, no_right, unavailable_response,
};
use crate::gateway::visible::site_of;
use crate::port::accounts::User;
use crate::port::desk::{self as port, DeskChange, DeskStatus};
use crate::port::error::LedgerError;
use crate::wire::instant;
use crate::wire::names::{one_of, schemas};

const FILTERS: [&str; 4] = ["open", "assigned", "done", "all"];
const NOTE_CHARS_MAX: usize = 1_000;
/// Calls of one change: all that a list may show as one entry.
const CALLS_MAX: usize = reading::CALLS_MAX as usize;
const NAME_CHARS_MAX: usize = 64;
/// The schema of [`Change`] repeats the limits, because its attributes take literals only.
const _: () = assert!(CALLS_MAX == 20_000 && NOTE_CHARS_MAX == 1_000 && NAME_CHARS_MAX == 64);
/// Texts without NUL, as a pattern of the description.
const NO_NUL: &str = r"^[^\u0000]*$";

schemas! {
    DeskFilter = one_of(&FILTERS), "The work on missed calls.";
    DeskCallId = ObjectBuilder::new().schema_type(Type::String).pattern(Some(NO_NUL)),
        "The id of a missed call.";
}

/// The query of the desk.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::gateway) struct DeskParameters {
    /// The PBX. An account of one site needs no name of a site.
    #[param(inline, value_type = Option<SiteName>)]
    site: Option<String>,
    /// Open and assigned entries if absent.
    #[param(inline, value_type = Option<DeskFilter>)]
    status: Option<String>,
    /// Calls that were missed at or after it; two weeks ago if absent.
    #[param(format = DateTime)]
    since: Option<String>,
    /// The length of the list; 200 if absent.
    #[param(inline, value_type = Option<Limit>)]
    limit: Option<u32>,
}

impl Parameters for DeskParameters {
    const NAMES: &'static str = "`site`, `status`, `since` and `limit`";
}

/// The desk.
#[derive(Serialize, ToSchema)]
struct MissedList {
    #[schema(value_type = Vec<MissedEntry>)]
    missed: Vec<Value>,
    /// Minutes within which a missed caller is to be called back: the goal of the site that is asked
    /// for, or that of sites without rules of their own. `due_at` of an entry counts.
    goal_minutes: u32,
    /// The instant of the list, for a change of its entries.
    #[schema(format = DateTime)]
    read_at: String,
}

/// Callers who wait for a call back, the latest first.
#[utoipa::path(
    get,
    path = "/api/v1/missed",
    operation_id = "list_missed",
    tag = "Missed calls",
    params(DeskParameters),
    responses((status = 200, description = "One entry per number.", body = MissedList)),
)]
pub(in crate::gateway) async fn entries(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<DeskParameters>, QueryRejection>,
) -> Response {
    let checked = query(parameters).and_then(|parameters| {
        if let Some(status) = &parameters.status {
            require_one_of("status", status, &FILTERS)?;
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

    let now = gateway.clock.now();
    let since = since.unwrap_or(now - SHOWN);
    let read = async {
        let desk = gateway.desk.as_ref();
        let callers = callers(desk, site.clone(), since, status.as_deref(), limit as usize);
        Ok::<_, LedgerError>((callers.await?, gateway.sites.rules().await?))
    };
    match read.await {
        Ok((callers, rules)) => {
            let missed = callers
                .iter()
                .map(|caller| caller_json(&principal, caller, &rules))
                .collect();
            let goals = rules.of(site.as_deref().unwrap_or_default()).goals;
            let list = MissedList {
                missed,
                goal_minutes: goals.desk_minutes,
                read_at: instant::text(now),
            };
            document_response(StatusCode::OK, &list)
        }
        Err(error) => unavailable_response(&error),
    }
}

/// A change of some entries.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeskChange)]
pub(in crate::gateway) struct Change {
    /// All calls of the entries.
    #[schema(value_type = Vec<DeskCallId>, min_items = 1, max_items = 20_000)]
    call_ids: Vec<String>,
    #[schema(value_type = DeskState)]
    status: String,
    /// The account itself if absent.
    #[schema(min_length = 1, max_length = 64, pattern = r"^[^\u0000]*$")]
    assigned_to: Option<String>,
    /// An empty text removes the note.
    #[schema(max_length = 1000, pattern = r"^[^\u0000]*$")]
    note: Option<String>,
    /// Entries that are not done have none.
    #[schema(value_type = Option<Disposition>)]
    disposition: Option<String>,
    /// The `read_at` of the list: entries that another person has changed since are not changed.
    #[schema(format = DateTime)]
    read_at: Option<String>,
    /// Takes entries from the person who has them.
    #[serde(default)]
    take_over: bool,
}

impl Change {
    const FIELDS: &str = "`call_ids` and `status`, and optionally `assigned_to`, `note`, \
                          `disposition`, `read_at` and `take_over`";

    fn check(&self) -> Result<(DeskStatus, Option<At>), String> {
        if self.call_ids.is_empty() || self.call_ids.len() > CALLS_MAX {
            return Err(format!("`call_ids` must have 1 to {CALLS_MAX} ids"));
        }
        // PostgreSQL stores no NUL, and rejects a query with one.
        if self.call_ids.iter().any(|id| id.contains('\0')) {
            return Err("`call_ids` must not contain NUL characters".to_owned());
        }
        let status = DeskStatus::parse(&self.status)
            .ok_or_else(|| "`status` must be one of open, assigned, done".to_owned())?;
        if let Some(disposition) = &self.disposition {
            require_one_of("disposition", disposition, &DISPOSITIONS)?;
        }
        if self.assigned_to.as_deref() == Some("") {
            return Err("`assigned_to` must have a name".to_owned());
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
        let read_at = parse_instant("read_at", self.read_at.as_deref())?.map(At);

        Ok((status, read_at))
    }
}

/// The entries that were changed.
#[derive(Serialize, ToSchema)]
struct Changed {
    /// Their calls.
    changed: Vec<String>,
}

/// Changes entries of the desk.
///
/// All of the entries are changed, or none. Two people cannot have one entry: the second is refused,
/// unless `take_over` is set. Who has given an entry to a colleague may change it too. Needs the right
/// `desk`.
#[utoipa::path(
    post,
    path = "/api/v1/missed",
    operation_id = "change_missed",
    tag = "Missed calls",
    request_body = Change,
    responses(
        (status = 200, description = "All entries were changed.", body = Changed),
        (status = 400, description = "`bad_body`: the body is not such an object."),
        (status = 403, description = "`no_right`: the account cannot change the desk."),
        (status = 404, description = "`not_found`: there is no such missed call."),
        (status = 409, description = "`taken`: another person has taken the entry. `changed`: \
            another person has changed it since `read_at`."),
    ),
)]
pub(in crate::gateway) async fn change(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    body: Result<Json<Change>, JsonRejection>,
) -> Response {
    if !principal.may(Right::Desk) {
        return no_right("this account cannot change the desk");
    }
    let checked = body
        .map_err(|error| bad_body(&error, Change::FIELDS))
        .and_then(|Json(change)| change.check().map(|checked| (change, checked)));
    let (change, (status, read_at)) = match checked {
        Ok(checked) => checked,
        Err(message) => return error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    };

    match apply(&gateway, &principal, change, status, read_at).await {
        Ok(answer) => answer,
        Err(error) => unavailable_response(&error),
    }
}

/// Changes all of the entries, or none.
async fn apply(
    gateway: &Gateway,
    principal: &Principal,
    mut change: Change,
    status: DeskStatus,
    read_at: Option<At>,
) -> Result<Response, LedgerError> {
    // As they are stored.
    for id in &mut change.call_ids {
        if let Ok(parsed) = Uuid::try_parse(id) {
            *id = parsed.to_string();
        }
    }
    // A call of another site is as if there were none.
    let states = gateway.desk.states(&change.call_ids).await?;
    let known: HashSet<&str> = states
        .iter()
        .filter(|state| principal.sites.contains(&state.site))
        .map(|state| state.call_id.as_str())
        .collect();
    if !change.call_ids.iter().all(|id| known.contains(id.as_str())) {
        return Ok(error_response(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such missed call",
        ));
    }

    if let Some(assigned_to) = &change.assigned_to
        && !is_person(gateway, principal, assigned_to, &states).await?
    {
        let message = "`assigned_to` is no account that sees these calls";
        return Ok(error_response(StatusCode::BAD_REQUEST, "bad_body", message));
    }

    let callers = states
        .iter()
        .filter_map(|state| Some((state.site.clone(), state.number.clone()?)))
        .filter(|(_, number)| !Number::shows_none(number));
    let callers: HashSet<(String, PrivateText)> = callers.collect();
    let now = gateway.clock.now();
    let by = principal.name().to_owned();
    let assigned_to = match status {
        DeskStatus::Open => None,
        DeskStatus::Assigned => Some(change.assigned_to.unwrap_or_else(|| by.clone())),
        DeskStatus::Done => change.assigned_to,
    };
    let change = DeskChange {
        call_ids: change.call_ids,
        status,
        assigned_to,
        note: change.note.as_deref().map(PrivateText::from),
        disposition: change.disposition,
        by,
        now,
        callers: callers.into_iter().collect(),
        read_at,
        // Without accounts everybody is the same person.
        takes_over: change.take_over || principal.identity == Identity::Open,
        shown_since: now - SHOWN,
    };
    if gateway.desk.change(&change).await? {
        gateway.desk_bell.changed_here();
        let changed = change.call_ids;
        return Ok(document_response(StatusCode::OK, &Changed { changed }));
    }

    not_changed(gateway, &change).await
}

/// Whether entries can be given to someone: to the own account, or that of a colleague who sees them.
/// Without accounts every name is taken.
async fn is_person(
    gateway: &Gateway,
    principal: &Principal,
    name: &str,
    entries: &[port::DeskState],
) -> Result<bool, LedgerError> {
    if principal.identity == Identity::Open || principal.name() == name {
        return Ok(true);
    }
    let user = gateway.access.accounts.user(name).await?;

    let sees_all = |user: &User| entries.iter().all(|entry| user.sites.contains(&entry.site));
    Ok(user.is_some_and(|user| !user.is_disabled && sees_all(&user)))
}

/// The answer when another person has taken one of the entries, or has changed it.
async fn not_changed(gateway: &Gateway, change: &DeskChange) -> Result<Response, LedgerError> {
    let states = gateway.desk.states(&change.call_ids).await?;
    let changed = states.iter().find(|state| {
        state.changed_at > change.read_at
            && change.read_at.is_some()
            && state.changed_by.as_ref() != Some(&change.by)
    });
    if let Some(state) = changed {
        let person = state.changed_by.as_deref().unwrap_or("another person");
        return Ok(error_response(
            StatusCode::CONFLICT,
            "changed",
            &format!("{person} has changed this entry meanwhile"),
        ));
    }

    let mut people = states
        .iter()
        .filter(|state| state.status == DeskStatus::Assigned)
        .filter_map(|state| state.assigned_to.as_deref());
    let person = people.find(|person| *person != change.by);
    let person = person.unwrap_or("another person");

    Ok(error_response(
        StatusCode::CONFLICT,
        "taken",
        &format!("{person} has taken this entry"),
    ))
}
