//! The routes of agents: their popups, the claim of a call, and their pauses.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::popup::{Agent, meaning};
use super::window::{Desk, Window, WindowEvent};
use crate::access::{Identity, Principal, Right};
use crate::domain::device::Extension as PhoneExtension;
use crate::domain::text::is_printable;
use crate::domain::time::Span;
use crate::gateway::Gateway;
use crate::gateway::parameters::{
    Parameters, PlainText, Segment, SiteName, bad_body, printable_text, query, require_one_of,
    require_plain,
};
use crate::gateway::response::{
    bad_parameter, document_response, error_response, no_right, unavailable_response,
};
use crate::gateway::sign_in::Credential;
use crate::gateway::stream::too_many_watchers;
use crate::gateway::visible::one_site_of;
use crate::port::claims::Claim;
use crate::port::directory::Pause;
use crate::wire::instant;
use crate::wire::names::{one_of, schemas};

const CLAIM_MAX: Span = Span::seconds(30);
const REASON_CHARS_MAX: usize = 128;
const AVAILABLE: &str = "available";
const PAUSED: &str = "paused";
const STATES: [&str; 2] = [AVAILABLE, PAUSED];

schemas! {
    AgentState = one_of(&STATES), "Whether an agent takes the calls of helplines.";
    PauseReason = printable_text().max_length(Some(REASON_CHARS_MAX)), "The reason of a pause.";
}

pub(in crate::gateway) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::default()
        .routes(routes!(events))
        .routes(routes!(claim))
        .routes(routes!(release))
        .routes(routes!(set_state))
}

/// The query of an agent's popups.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AgentParameters {
    /// The PBX. An account of one site needs no name of a site.
    #[param(inline, value_type = Option<SiteName>)]
    site: Option<String>,
    /// The phone whose popups are shown, while no account exists.
    #[param(inline, value_type = Option<PlainText>)]
    extension: Option<String>,
}

impl Parameters for AgentParameters {
    const NAMES: &'static str = "`site` and `extension`";
}

impl Desk {
    fn of(
        principal: &Principal,
        parameters: Result<QueryString<AgentParameters>, QueryRejection>,
    ) -> Result<Desk, Box<Response>> {
        let AgentParameters { site, extension } =
            query(parameters).map_err(|message| Box::new(bad_parameter(&message)))?;

        Desk::at(principal, site, extension.as_deref())
    }

    /// The phone of an account; of no account, the one that is asked for.
    pub(super) fn at(
        principal: &Principal,
        site: Option<String>,
        extension: Option<&str>,
    ) -> Result<Desk, Box<Response>> {
        require_plain("extension", extension)
            .map_err(|message| Box::new(bad_parameter(&message)))?;
        if !principal.may(Right::Claim) {
            return Err(Box::new(no_right("this account takes no calls")));
        }

        let site = one_site_of(principal, site)?;
        // The same extension at another site is another phone, whose numbers are masked.
        if !principal.sees_all_numbers() && principal.own_site() != Some(site.as_str()) {
            return Err(Box::new(no_right(
                "the phone of this account is not at this site",
            )));
        }
        let requested = extension.and_then(PhoneExtension::parse);
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
            site,
            extension: extension.to_string(),
            name,
        })
    }
}

/// The popups of one agent, as server-sent events.
///
/// `hello` with the popups that are open and the state of the agent, then `popup` with each that is
/// new or has changed, and `state` when a pause or the do-not-disturb mode of the phone has. The answer
/// does not end. Needs the right `claim`.
#[utoipa::path(
    get,
    path = "/api/v1/stream/popups",
    operation_id = "watch_popups",
    tag = "Popups",
    params(AgentParameters),
    responses(
        (status = 200, description = "The events.", body = String,
            content_type = "text/event-stream"),
        (status = 403, description = "`no_right`: the account takes no calls."),
        (status = 409, description = "`no_extension`: the account has no phone."),
        (status = 503, description = "`too_many_watchers`: as many streams are open as \
            `gateway.watchers_max` allows."),
    ),
)]
async fn events(
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

    let ping_every = gateway.watchers.ping_every;
    let access = Arc::clone(&gateway.access);
    let mut window = Window::open(gateway, desk, permit);
    let hello = match window.snapshot().await {
        Ok(hello) => hello,
        Err(error) => return unavailable_response(&error),
    };

    let stream = stream::iter([WindowEvent::hello(hello)])
        .chain(window.into_stream())
        .take_until(async move { access.until_changed(&credential, &principal).await })
        .map(|event| Ok::<_, Infallible>(event.server_sent()));
    Sse::new(stream)
        .keep_alive(KeepAlive::new().interval(ping_every))
        .into_response()
}

/// The claim of a call.
#[derive(Serialize, ToSchema)]
#[schema(as = Claim)]
struct ClaimJson {
    /// Always `true`.
    claimed: bool,
}

/// Takes a ringing call.
///
/// Of several agents one wins. A claim ends after 30 seconds. Needs the right `claim`.
#[utoipa::path(
    post,
    path = "/api/v1/popups/{id}/claim",
    operation_id = "claim_call",
    tag = "Popups",
    params(("id" = inline(Segment), Path, description = "The id of the call."), AgentParameters),
    responses(
        (status = 200, description = "The call is claimed.", body = ClaimJson),
        (status = 403, description = "`no_right`: the account takes no calls."),
        (status = 404, description = "`not_ringing`: the call rings neither at the phone nor \
            at the helpline."),
        (status = 409, description = "`taken`: another agent took the call. `no_extension`: the \
            account has no phone."),
    ),
)]
async fn claim(
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
        let helplines = gateway.people.helplines(Some(&desk.site)).await?;
        let agent = Agent {
            extension: &desk.extension,
            name: &desk.name,
            helplines: &helplines,
        };
        let rings = meaning(&record, &agent).is_some_and(|meaning| meaning.kind.is_ringing());
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
        Ok(Claimed::Won) => document_response(StatusCode::OK, &ClaimJson { claimed: true }),
        Ok(Claimed::Lost(by)) => {
            let by = by.unwrap_or_else(|| "a colleague".to_owned());
            error_response(StatusCode::CONFLICT, "taken", &format!("{by} took it"))
        }
        Ok(Claimed::NotRinging) => error_response(
            StatusCode::NOT_FOUND,
            "not_ringing",
            "this call rings neither at your phone nor at your helpline",
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
///
/// Needs the right `claim`.
#[utoipa::path(
    post,
    path = "/api/v1/popups/{id}/release",
    operation_id = "release_call",
    tag = "Popups",
    params(("id" = inline(Segment), Path, description = "The id of the call."), AgentParameters),
    responses(
        (status = 204, description = "The call is not claimed by the agent."),
        (status = 403, description = "`no_right`: the account takes no calls."),
        (status = 409, description = "`no_extension`: the account has no phone."),
    ),
)]
async fn release(
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

/// Whether an agent takes the calls of his helplines.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAgentState)]
struct NewState {
    #[schema(value_type = AgentState)]
    state: String,
    #[schema(value_type = Option<PauseReason>)]
    reason: Option<String>,
}

/// The state of an agent.
#[derive(Serialize, ToSchema)]
#[schema(as = StateOfAgent)]
struct StateJson {
    #[schema(value_type = AgentState)]
    state: &'static str,
    /// The reason of a pause.
    reason: Option<String>,
    #[schema(format = DateTime)]
    since: String,
}

impl NewState {
    fn check(&self) -> Result<bool, String> {
        require_one_of("state", &self.state, &STATES)?;
        if let Some(reason) = &self.reason
            && (reason.chars().count() > REASON_CHARS_MAX || !reason.chars().all(is_printable))
        {
            return Err(format!(
                "`reason` must have at most {REASON_CHARS_MAX} characters"
            ));
        }

        Ok(self.state == PAUSED)
    }
}

/// Pauses an agent, or ends the pause.
///
/// A paused agent gets no calls of helplines that ring at other phones only. Needs the right
/// `claim`.
#[utoipa::path(
    put,
    path = "/api/v1/me/state",
    operation_id = "set_agent_state",
    tag = "Popups",
    params(AgentParameters),
    request_body = NewState,
    responses(
        (status = 200, description = "The state.", body = StateJson),
        (status = 400, description = "`bad_body`: the body is not such an object."),
        (status = 403, description = "`no_right`: the account takes no calls."),
        (status = 409, description = "`no_extension`: the account has no phone."),
    ),
)]
async fn set_state(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<AgentParameters>, QueryRejection>,
    body: Result<Json<NewState>, JsonRejection>,
) -> Response {
    let desk = match Desk::of(&principal, parameters) {
        Ok(desk) => desk,
        Err(response) => return *response,
    };
    let checked = body
        .map_err(|error| bad_body(&error, "`state`, and optionally `reason`"))
        .and_then(|Json(state)| state.check().map(|is_paused| (is_paused, state.reason)));
    let (is_paused, reason) = match checked {
        Ok(checked) => checked,
        Err(message) => return error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    };

    let since = gateway.clock.now();
    let stored = if is_paused {
        let pause = Pause {
            site: desk.site.clone(),
            extension: desk.extension.clone(),
            reason: reason.clone(),
            since,
        };
        gateway.people.pause(&pause).await
    } else {
        gateway.people.end_pause(&desk.site, &desk.extension).await
    };
    match stored {
        Ok(()) => {
            gateway
                .popups
                .set_paused(&desk.site, &desk.extension, is_paused);
            let state = StateJson {
                state: STATES[usize::from(is_paused)],
                reason: reason.filter(|_| is_paused),
                since: instant::text(since),
            };
            document_response(StatusCode::OK, &state)
        }
        Err(error) => unavailable_response(&error),
    }
}
