//! The directory as a file: import and export as CSV.
//!
//! The file has the columns `kind` (`person` or `helpline`), `site`, `number`, `name`, and the
//! `members` of a helpline with blanks between them.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Gateway;
use super::csv::{Table, read_lines, without_protection};
use super::parameters::SiteParameters;
use super::people::requested_site;
use super::response::{document_response, error_response, no_right, unavailable_response};
use crate::access::{Principal, Right};
use crate::domain::device::Extension as PhoneExtension;
use crate::domain::fact::Site;
use crate::domain::text::is_printable;
use crate::port::directory::{Entry, Helpline, Person};
use crate::port::error::LedgerError;

const LINES_MAX: usize = 10_000;
const NAME_CHARS_MAX: usize = 128;
const MEMBERS_MAX: usize = 500;
const COLUMNS: [&str; 5] = ["kind", "site", "number", "name", "members"];
/// Files without helplines may leave out the last.
const COLUMNS_NEEDED: usize = 4;

/// The directory as CSV.
///
/// Its columns are `kind` (`person` or `helpline`), `site`, `number`, `name` and `members`. Needs
/// the right `directory`.
#[utoipa::path(
    get,
    path = "/api/v1/directory",
    operation_id = "export_directory",
    tag = "Directory",
    params(SiteParameters),
    responses(
        (status = 200, description = "The directory.", body = String, content_type = "text/csv"),
        (status = 403, description = "`no_right`: the account cannot export the directory."),
    ),
)]
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

/// The number of lines that were stored.
#[derive(Serialize, ToSchema)]
struct Imported {
    entries: usize,
}

/// Takes a directory as CSV.
///
/// Each line replaces the one with its site and number. A file with a bad line changes nothing.
/// At most 10,000 lines and 2 MiB. Needs the right `directory`.
#[utoipa::path(
    post,
    path = "/api/v1/directory",
    operation_id = "import_directory",
    tag = "Directory",
    request_body(content = String, content_type = "text/csv",
        description = "The columns of the export, with a head."),
    responses(
        (status = 200, description = "All lines are stored.", body = Imported),
        (status = 400, description = "`bad_body`: a line is not right; it is named."),
        (status = 403, description = "`no_right`: the account cannot change the directory."),
        (status = 413, description = "`bad_body`: the file is too large, or broke off."),
    ),
)]
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

    // It goes on when the client does not wait for the end.
    let stored = tokio::spawn(store(gateway, principal, entries)).await;
    match stored {
        Ok(Ok(entries)) => document_response(StatusCode::OK, &Imported { entries }),
        Ok(Err(error)) => unavailable_response(&error),
        Err(error) => unavailable_response(&LedgerError::Unavailable(error.into())),
    }
}

/// Stores entries, and returns their number.
async fn store(
    gateway: Gateway,
    principal: Arc<Principal>,
    entries: Vec<Entry>,
) -> Result<usize, LedgerError> {
    gateway.people.put(&entries).await?;
    gateway.popups.directory_changed();
    gateway.fill_lookups().await;
    gateway
        .access
        .audit(principal.name(), "directory_imported", None)
        .await;

    Ok(entries.len())
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
    let needed = &COLUMNS[..COLUMNS_NEEDED];
    let lines = read_lines::<Line>(body, &COLUMNS, needed, LINES_MAX)?;

    let entries = lines.into_iter().map(|(number, line)| {
        let entry = entry(line, principal);
        entry.map_err(|reason| format!("line {number}: {reason}"))
    });
    entries.collect()
}

fn entry(line: Line, principal: &Principal) -> Result<Entry, String> {
    let site = Site::parse(&without_protection(line.site)).ok_or("`site` is not a site name")?;
    if !principal.sites.contains(site.as_str()) {
        return Err("this account does not see the site".to_owned());
    }
    let site = site.as_str().to_owned();
    let name = without_protection(line.name);
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(is_printable) {
        return Err(format!("`name` must have 1 to {NAME_CHARS_MAX} characters"));
    }
    let extension = |text: &str| {
        PhoneExtension::parse(text)
            .map(|extension| extension.to_string())
            .ok_or_else(|| format!("{text:?} is no extension"))
    };
    let number = extension(&without_protection(line.number))?;

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
        for headless in ["", "person,berlin,201,Maria,\n", "kind,site\n"] {
            let error = read(headless).unwrap_err();
            assert!(error.contains("columns"), "{headless}: {error}");
        }
    }
}
