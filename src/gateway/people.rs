//! People and helplines of the directory, with the activity of each person.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Gateway;
use super::parameters::{LIVE_CALLS_MAX, SiteParameters, query};
use super::popups::rings;
use super::response::{bad_parameter, document_response, unavailable_response};
use super::visible::site_of;
use crate::access::Principal;
use crate::domain::time::At;
use crate::port::directory::{Helpline, Pause, Person};
use crate::port::error::LedgerError;
use crate::port::query::CallFilter;
use crate::port::windows::Line;
use crate::wire::instant;
use crate::wire::names::{one_of, schemas};

schemas! {
    PersonState = one_of(&Activity::ALL.map(Activity::name)), "The activity of a person.";
}

pub(super) fn requested_site(
    principal: &Principal,
    parameters: Result<QueryString<SiteParameters>, QueryRejection>,
) -> Result<Option<String>, Box<Response>> {
    let SiteParameters { site } =
        query(parameters).map_err(|message| Box::new(bad_parameter(&message)))?;

    site_of(principal, site)
}

/// The activity of a person, the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Activity {
    /// The account has no window open, and the phone is in no call.
    Offline,
    Available,
    Paused,
    /// His phones take no calls.
    DoNotDisturb,
    Ringing,
    Holding,
    Talking,
}

impl Activity {
    const ALL: [Activity; 7] = [
        Activity::Offline,
        Activity::Available,
        Activity::Paused,
        Activity::DoNotDisturb,
        Activity::Ringing,
        Activity::Holding,
        Activity::Talking,
    ];

    fn name(self) -> &'static str {
        match self {
            Activity::Offline => "offline",
            Activity::Available => "available",
            Activity::Paused => "paused",
            Activity::DoNotDisturb => "dnd",
            Activity::Ringing => "ringing",
            Activity::Holding => "holding",
            Activity::Talking => "talking",
        }
    }
}

/// A person of the directory, and its activity.
#[derive(Serialize, ToSchema)]
#[schema(as = Person)]
struct PersonJson {
    name: String,
    display_name: String,
    site: String,
    extension: String,
    /// The name of the account with the extension.
    account: Option<String>,
    /// The numbers of the person's helplines.
    helplines: Vec<String>,
    #[schema(value_type = PersonState)]
    state: &'static str,
    /// The beginning of the state; `null` when it is not known.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// The reason of a pause.
    reason: Option<String>,
    /// Whether a window of the agent's popups is open.
    window_open: bool,
}

impl PersonJson {
    /// Adds the account of the person, and whether its window is open. Without a window
    /// the calls of an account pop up nowhere.
    fn with_account(
        self,
        account: Option<&String>,
        (window_open, last_seen): (bool, Option<At>),
    ) -> PersonJson {
        let is_offline =
            account.is_some() && !window_open && self.state == Activity::Available.name();
        let (state, since) = if is_offline {
            (Activity::Offline.name(), last_seen.map(instant::text))
        } else {
            (self.state, self.since)
        };

        PersonJson {
            account: account.cloned(),
            window_open,
            state,
            since,
            ..self
        }
    }
}

/// A list of people.
#[derive(Serialize, ToSchema)]
struct PersonList {
    people: Vec<PersonJson>,
}

/// People of the directory, with their activity.
#[utoipa::path(
    get,
    path = "/api/v1/people",
    operation_id = "list_people",
    tag = "Directory",
    params(SiteParameters),
    responses((status = 200, description = "The people.", body = PersonList)),
)]
pub(super) async fn people(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<SiteParameters>, QueryRejection>,
) -> Response {
    let site = match requested_site(&principal, parameters) {
        Ok(site) => site,
        Err(response) => return *response,
    };

    let found = async {
        let people = gateway.people.people(site.as_deref()).await?;
        let helplines = gateway.people.helplines(site.as_deref()).await?;
        let pauses = gateway.people.pauses(site.as_deref()).await?;
        let present = gateway.people_present(site.as_deref()).await?;
        let activities = activities(&gateway, site).await?;
        let accounts = accounts(&gateway).await?;
        Ok::<_, LedgerError>((people, helplines, pauses, activities, accounts, present))
    };
    match found.await {
        Ok((people, helplines, pauses, activities, accounts, present)) => {
            let people = people
                .iter()
                .map(|person| {
                    let line = Line::new(&person.site, &person.extension);
                    person_json(person, &helplines, &pauses, &activities)
                        .with_account(accounts.get(&line), present.of(&line))
                })
                .collect();
            document_response(StatusCode::OK, &PersonList { people })
        }
        Err(error) => unavailable_response(&error),
    }
}

/// The accounts of people by their phones: site and extension.
async fn accounts(gateway: &Gateway) -> Result<HashMap<Line, String>, LedgerError> {
    let users = gateway.access.accounts.users().await?.into_iter();
    let accounts = users.filter(|user| !user.is_disabled).filter_map(|user| {
        let line = Line::new(user.sites.own_site()?, user.extension?.as_str());
        Some((line, user.name))
    });

    Ok(accounts.collect())
}

type Activities = HashMap<(String, String), (Activity, Option<String>)>;

/// The activity of each extension and its beginning, from the calls that are open, and from phones
/// that take none.
async fn activities(gateway: &Gateway, site: Option<String>) -> Result<Activities, LedgerError> {
    let silent = gateway.query.do_not_disturb(site.as_deref()).await?;
    let filter = CallFilter::of_live(site, LIVE_CALLS_MAX);
    let calls = gateway.query.calls(&filter).await?;

    let mut activities: Activities = silent
        .into_iter()
        .map(|silent| {
            let since = instant::text(At(silent.since));
            let activity = (Activity::DoNotDisturb, Some(since));
            ((silent.site, silent.extension), activity)
        })
        .collect();
    for call in calls {
        let record: Value = serde_json::from_str(&call.record).unwrap_or_default();
        let site = record["site"].as_str().unwrap_or_default();
        let is_held = record["status"] == "on_hold";
        for participant in record["participants"].as_array().into_iter().flatten() {
            let (activity, since) = match participant["outcome"].as_str() {
                Some("ringing") if rings(&record, participant) => {
                    (Activity::Ringing, &participant["rang_at"])
                }
                Some("talking") if is_held => (Activity::Holding, &participant["answered_at"]),
                Some("talking") => (Activity::Talking, &participant["answered_at"]),
                _ => continue,
            };
            let Some(extension) = participant["extension"].as_str() else {
                continue;
            };
            let now = (activity, since.as_str().map(ToOwned::to_owned));
            let known = activities
                .entry((site.to_owned(), extension.to_owned()))
                .or_insert_with(|| now.clone());
            if known.0 < activity {
                *known = now;
            }
        }
    }

    Ok(activities)
}

fn person_json(
    person: &Person,
    helplines: &[Helpline],
    pauses: &[Pause],
    activities: &Activities,
) -> PersonJson {
    let key = (person.site.clone(), person.extension.clone());
    let pause = pauses
        .iter()
        .find(|pause| pause.site == person.site && pause.extension == person.extension);
    let (activity, since) = match (activities.get(&key), pause) {
        (Some(activity), _) => activity.clone(),
        (None, Some(pause)) => (Activity::Paused, Some(instant::text(pause.since))),
        (None, None) => (Activity::Available, None),
    };
    let reason = pause
        .filter(|_| activity == Activity::Paused)
        .and_then(|pause| pause.reason.clone());
    let own = helplines
        .iter()
        .filter(|helpline| {
            helpline.site == person.site && helpline.members.contains(&person.extension)
        })
        .map(|helpline| helpline.number.clone())
        .collect();

    PersonJson {
        name: person.extension.clone(),
        display_name: (*person.name).to_owned(),
        site: person.site.clone(),
        extension: person.extension.clone(),
        account: None,
        helplines: own,
        state: activity.name(),
        since,
        reason,
        window_open: false,
    }
}

/// A helpline of the directory.
#[derive(Serialize, ToSchema)]
#[schema(as = Helpline)]
struct HelplineJson {
    site: String,
    number: String,
    name: String,
    /// The extensions that ring together.
    members: Vec<String>,
}

/// A list of helplines.
#[derive(Serialize, ToSchema)]
struct HelplineList {
    helplines: Vec<HelplineJson>,
}

/// Helplines of the directory.
#[utoipa::path(
    get,
    path = "/api/v1/helplines",
    operation_id = "list_helplines",
    tag = "Directory",
    params(SiteParameters),
    responses((status = 200, description = "The helplines.", body = HelplineList)),
)]
pub(super) async fn helplines(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<SiteParameters>, QueryRejection>,
) -> Response {
    let site = match requested_site(&principal, parameters) {
        Ok(site) => site,
        Err(response) => return *response,
    };

    match gateway.people.helplines(site.as_deref()).await {
        Ok(helplines) => {
            let helplines = helplines
                .into_iter()
                .map(|helpline| HelplineJson {
                    site: helpline.site,
                    number: helpline.number,
                    name: helpline.name,
                    members: helpline.members,
                })
                .collect();
            document_response(StatusCode::OK, &HelplineList { helplines })
        }
        Err(error) => unavailable_response(&error),
    }
}
