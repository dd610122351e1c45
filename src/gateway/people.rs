//! People and helplines: the directory of a site, with the activity of each person, and its import
//! and export as CSV.
//!
//! The file has the columns `kind` (`person` or `helpline`), `site`, `number`, `name`, and the
//! `members` of a helpline with blanks between them.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Gateway;
use super::csv::Table;
use super::parameters::{LIVE_CALLS_MAX, SiteParameters, query};
use super::popups::rings;
use super::response::{
    bad_parameter, error_response, json_response, no_right, unavailable_response,
};
use super::visible::site_of;
use crate::access::{Principal, Right};
use crate::domain::device::Extension as PhoneExtension;
use crate::domain::fact::Site;
use crate::domain::text::is_printable;
use crate::port::directory::{Entry, Helpline, Pause, Person};
use crate::port::error::LedgerError;
use crate::port::query::CallFilter;
use crate::wire::instant;

const LINES_MAX: usize = 10_000;
const NAME_CHARS_MAX: usize = 128;
const MEMBERS_MAX: usize = 500;
const COLUMNS: [&str; 5] = ["kind", "site", "number", "name", "members"];

fn requested_site(
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
    Available,
    Paused,
    Ringing,
    Holding,
    Talking,
}

impl Activity {
    fn name(self) -> &'static str {
        match self {
            Activity::Available => "available",
            Activity::Paused => "paused",
            Activity::Ringing => "ringing",
            Activity::Holding => "holding",
            Activity::Talking => "talking",
        }
    }
}

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
        let activities = activities(&gateway, site).await?;
        Ok::<_, LedgerError>((people, helplines, pauses, activities))
    };
    match found.await {
        Ok((people, helplines, pauses, activities)) => {
            let people: Vec<Value> = people
                .iter()
                .map(|person| {
                    let mut document = person_json(person, &helplines, &pauses, &activities);
                    let is_open = gateway.popups.is_open(&person.site, &person.extension);
                    document["window_open"] = is_open.into();
                    document
                })
                .collect();
            json_response(StatusCode::OK, json!({ "people": people }).to_string())
        }
        Err(error) => unavailable_response(&error),
    }
}

type Activities = HashMap<(String, String), (Activity, Option<String>)>;

/// The activity of each extension and its beginning, from the calls that are open.
async fn activities(gateway: &Gateway, site: Option<String>) -> Result<Activities, LedgerError> {
    let filter = CallFilter::of_live(site, LIVE_CALLS_MAX);
    let calls = gateway.query.calls(&filter).await?;

    let mut activities = Activities::new();
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
) -> Value {
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
        .and_then(|pause| pause.reason.as_deref());
    let own: Vec<&str> = helplines
        .iter()
        .filter(|helpline| {
            helpline.site == person.site && helpline.members.contains(&person.extension)
        })
        .map(|helpline| helpline.number.as_str())
        .collect();

    json!({
        "name": person.extension,
        "display_name": &*person.name,
        "site": person.site,
        "extension": person.extension,
        "helplines": own,
        "state": activity.name(),
        "since": since,
        "reason": reason,
    })
}

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
            let helplines: Vec<Value> = helplines
                .iter()
                .map(|helpline| {
                    json!({
                        "site": helpline.site,
                        "number": helpline.number,
                        "name": helpline.name,
                        "members": helpline.members,
                    })
                })
                .collect();
            json_response(
                StatusCode::OK,
                json!({ "helplines": helplines }).to_string(),
            )
        }
        Err(error) => unavailable_response(&error),
    }
}

/// The directory as CSV.
pub(super) async fn export(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<SiteParameters>, QueryRejection>,
) -> Response {
    if !principal.may(Right::Directory) {
        return no_right("this account cannot export the directory");
    }
    let site = match requested_site(&principal, parameters) {
        Ok(site) => site,
        Err(response) => return *response,
    };

    let found = async {
        let people = gateway.people.people(site.as_deref()).await?;
        let helplines = gateway.people.helplines(site.as_deref()).await?;
        Ok::<_, LedgerError>((people, helplines))
    };
    let (people, helplines) = match found.await {
        Ok(found) => found,
        Err(error) => return unavailable_response(&error),
    };

    let mut table = Table::new(&COLUMNS);
    for person in people {
        let cells = ["person", &person.site, &person.extension, &person.name, ""];
        table.row(cells.map(ToOwned::to_owned));
    }
    for helpline in helplines {
        let members = helpline.members.join(" ");
        let cells = [
            "helpline",
            &helpline.site,
            &helpline.number,
            &helpline.name,
            &members,
        ];
        table.row(cells.map(ToOwned::to_owned));
    }
    gateway
        .access
        .audit(principal.name(), "directory_exported", site.as_deref())
        .await;

    table.into_response("directory.csv")
}

/// Takes a directory as CSV. A file with a bad line changes nothing.
pub(super) async fn import(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if !principal.may(Right::Directory) {
        return no_right("this account cannot change the directory");
    }
    let Ok(body) = body else {
        return error_response(
            StatusCode::PAYLOAD_TOO_LARGE,
            "bad_body",
            "the body is too large, or broke off",
        );
    };
    let entries = match read_directory(&body, &principal) {
        Ok(entries) => entries,
        Err(message) => return error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    };

    match gateway.people.put(&entries).await {
        Ok(()) => {
            gateway.popups.directory_changed();
            gateway
                .access
                .audit(principal.name(), "directory_imported", None)
                .await;
            let document = json!({ "entries": entries.len() });
            json_response(StatusCode::OK, document.to_string())
        }
        Err(error) => unavailable_response(&error),
    }
}

#[derive(Deserialize)]
struct Line {
    kind: String,
    site: String,
    number: String,
    name: String,
    #[serde(default)]
    members: String,
}

fn read_directory(body: &[u8], principal: &Principal) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(body);

    for (index, line) in reader.deserialize::<Line>().enumerate() {
        // The head is the first line.
        let number = index + 2;
        if index >= LINES_MAX {
            return Err(format!("a file has at most {LINES_MAX} lines"));
        }
        let entry = line
            .map_err(|_| format!("its columns are {}", COLUMNS.join(", ")))
            .and_then(|line| entry(line, principal));
        entries.push(entry.map_err(|reason| format!("line {number}: {reason}"))?);
    }

    Ok(entries)
}

fn entry(line: Line, principal: &Principal) -> Result<Entry, String> {
    // An exported cell may begin with an apostrophe.
    let plain = |cell: String| {
        cell.strip_prefix('\'')
            .map_or(cell.clone(), ToOwned::to_owned)
    };
    let site = Site::parse(&plain(line.site)).ok_or("`site` is not a site name")?;
    if !principal.sites.contains(site.as_str()) {
        return Err("this account does not see the site".to_owned());
    }
    let site = site.as_str().to_owned();
    let name = plain(line.name);
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(is_printable) {
        return Err(format!("`name` must have 1 to {NAME_CHARS_MAX} characters"));
    }
    let extension = |text: &str| {
        PhoneExtension::parse(text)
            .map(|extension| extension.to_string())
            .ok_or_else(|| format!("{text:?} is no extension"))
    };
    let number = extension(&plain(line.number))?;

    match line.kind.as_str() {
        "person" => Ok(Entry::Person(Person {
            site,
            extension: number,
            name: name.as_str().into(),
        })),
        "helpline" => {
            let members: Vec<String> = line
                .members
                .split_whitespace()
                .map(extension)
                .collect::<Result<_, _>>()?;
            if members.len() > MEMBERS_MAX {
                return Err(format!("a helpline has at most {MEMBERS_MAX} members"));
            }
            Ok(Entry::Helpline(Helpline {
                site,
                number,
                name,
                members,
            }))
        }
        _ => Err("`kind` must be person or helpline".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Entry>, String> {
        read_directory(text.as_bytes(), &Principal::open())
    }

    #[test]
    fn people_and_helplines_are_read() {
        let entries = read(
            "kind,site,number,name,members\n\
             person,berlin,201,Maria Lindqvist,\n\
             helpline,berlin,240,Sales,201 202\n",
        )
        .unwrap();

        assert_eq!(entries.len(), 2);
        let Entry::Helpline(helpline) = &entries[1] else {
            panic!("a helpline");
        };
        assert_eq!(helpline.members, ["201", "202"]);
    }

    #[test]
    fn a_bad_line_is_named() {
        let head = "kind,site,number,name,members\n";
        for (line, expected) in [
            ("person,berlin,,Maria,\n", "line 2"),
            ("robot,berlin,201,Maria,\n", "person or helpline"),
            ("person,berlin,201,,\n", "`name`"),
            ("person\n", "columns"),
        ] {
            let error = read(&format!("{head}{line}")).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
