//! Contacts from a file: CSV with the columns `site`, `number`, `name`, `company` and `url`,
//! separated by commas or semicolons.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::list::COLUMNS;
use crate::access::{Principal, Right};
use crate::domain::fact::Site;
use crate::domain::text::is_printable;
use crate::gateway::Gateway;
use crate::gateway::csv::{is_shortened, read_lines, without_protection};
use crate::gateway::parameters::{Parameters, SiteName, query};
use crate::gateway::response::{
    bad_parameter, document_response, error_response, no_right, unavailable_response,
};
use crate::gateway::visible::one_site_of;
use crate::port::contacts::Contact;
use crate::port::error::LedgerError;

/// Lines of one file. Larger lists come in several files.
const LINES_MAX: usize = 20_000;
const TEXT_CHARS_MAX: usize = 128;
const URL_BYTES_MAX: usize = 1_000;
/// Files may leave out the others.
const COLUMNS_NEEDED: [&str; 2] = ["number", "name"];

/// The query of an import.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ImportParameters {
    /// The PBX of lines without `site`. An account of one site needs no name of a site.
    #[param(inline, value_type = Option<SiteName>)]
    site: Option<String>,
    /// Removes the other contacts of `site`: the file holds all of them.
    replace: Option<bool>,
}

impl Parameters for ImportParameters {
    const NAMES: &'static str = "`site` and `replace`";
}

/// The numbers of contacts that were stored, and removed.
#[derive(Serialize, ToSchema)]
pub(super) struct ImportedContacts {
    contacts: usize,
    removed: u64,
}

/// Takes contacts as CSV.
///
/// Each line replaces the contact with its site, number and name; a number may have several. A file
/// with a bad line changes nothing. At most 20,000 lines and 2 MiB. Needs the right `directory`.
#[utoipa::path(
    post,
    path = "/api/v1/contacts",
    operation_id = "import_contacts",
    tag = "Contacts",
    params(ImportParameters),
    request_body(content = String, content_type = "text/csv",
        description = "The columns `number` and `name`, and optionally `site`, `company` and \
            `url`, in any order, with a head."),
    responses(
        (status = 200, description = "All lines are stored.", body = ImportedContacts),
        (status = 400, description = "`bad_body`: a line is not right; it is named."),
        (status = 403, description = "`no_right`: the account cannot change contacts."),
        (status = 413, description = "`bad_body`: the file is too large, or broke off."),
    ),
)]
pub(super) async fn import(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<ImportParameters>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if !principal.may(Right::Directory) {
        return no_right("this account cannot change contacts");
    }
    let (site, replaces) = match query(parameters) {
        Ok(ImportParameters { site, replace }) => (site, replace.unwrap_or_default()),
        Err(message) => return bad_parameter(&message),
    };
    let site = match one_site_of(&principal, site) {
        Ok(site) => site,
        Err(response) => return *response,
    };
    let Ok(body) = body else {
        return error_response(
            StatusCode::PAYLOAD_TOO_LARGE,
            "bad_body",
            "the body is too large, or broke off",
        );
    };
    let contacts = match read_contacts(&gateway, &body, &principal, &site, replaces) {
        Ok(contacts) => contacts,
        Err(message) => return error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    };

    // It goes on when the client does not wait for the end.
    let replaced = replaces.then_some(site);
    let stored = tokio::spawn(store(gateway, principal, contacts, replaced)).await;
    match stored {
        Ok(Ok(imported)) => document_response(StatusCode::OK, &imported),
        Ok(Err(error)) => unavailable_response(&error),
        Err(error) => unavailable_response(&LedgerError::Unavailable(error.into())),
    }
}

/// Stores contacts, in place of all others of a site or beside them.
async fn store(
    gateway: Gateway,
    principal: Arc<Principal>,
    contacts: Vec<Contact>,
    replaced: Option<String>,
) -> Result<ImportedContacts, LedgerError> {
    let book = &gateway.callers.contacts;
    let removed = book.put_contacts(&contacts, replaced.as_deref()).await?;
    gateway
        .access
        .audit(principal.name(), "contacts_imported", replaced.as_deref())
        .await;

    Ok(ImportedContacts {
        contacts: contacts.len(),
        removed,
    })
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    site: String,
    number: String,
    name: String,
    #[serde(default)]
    company: String,
    #[serde(default)]
    url: String,
}

fn read_contacts(
    gateway: &Gateway,
    body: &[u8],
    principal: &Principal,
    site: &str,
    replaces: bool,
) -> Result<Vec<Contact>, String> {
    let lines = read_lines::<Line>(body, &COLUMNS, &COLUMNS_NEEDED, LINES_MAX)?;
    let mut contacts = Vec::with_capacity(lines.len());

    for (number, line) in lines {
        let contact = contact_of(gateway, line, principal, site);
        let contact = contact.map_err(|reason| format!("line {number}: {reason}"))?;
        if replaces && contact.site != site {
            return Err(format!(
                "line {number}: the file replaces the contacts of {site}, and names another site"
            ));
        }
        contacts.push(contact);
    }

    Ok(contacts)
}

fn contact_of(
    gateway: &Gateway,
    line: Line,
    principal: &Principal,
    default_site: &str,
) -> Result<Contact, String> {
    let site = match without_protection(line.site) {
        site if site.is_empty() => default_site.to_owned(),
        site => site,
    };
    let site = Site::parse(&site).ok_or("`site` is not a site name")?;
    if !principal.sites.contains(site.as_str()) {
        return Err("this account does not see the site".to_owned());
    }

    let name = text_of("name", line.name)?;
    if name.is_empty() {
        return Err("`name` is empty".to_owned());
    }
    let company = text_of("company", line.company)?;
    let url = without_protection(line.url);
    if !url.is_empty() && !is_address(&url) {
        return Err("`url` must begin with https:// or http://".to_owned());
    }
    let number = without_protection(line.number);
    if is_shortened(&number) {
        return Err("a spreadsheet has shortened `number`; format its column as text".to_owned());
    }
    let number = gateway
        .number_of(site.as_str(), &number)
        .filter(|number| number.chars().count() <= TEXT_CHARS_MAX)
        .ok_or("`number` is no number")?;

    Ok(Contact {
        site: site.as_str().to_owned(),
        number: number.as_str().into(),
        name: name.as_str().into(),
        company: company.as_str().into(),
        url: url.as_str().into(),
    })
}

fn text_of(column: &str, text: String) -> Result<String, String> {
    let text = without_protection(text);
    if text.chars().count() > TEXT_CHARS_MAX || !text.chars().all(is_printable) {
        return Err(format!(
            "`{column}` must have at most {TEXT_CHARS_MAX} printable characters"
        ));
    }

    Ok(text)
}

/// Whether a page may link to an address.
pub(super) fn is_address(url: &str) -> bool {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));

    url.len() <= URL_BYTES_MAX
        && rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && url.chars().all(|char| is_printable(char) && char != ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_links_to_web_addresses_only() {
        for url in ["https://crm.example.com/a?b=1", "http://10.0.0.7/x"] {
            assert!(is_address(url), "{url}");
        }
        for url in [
            "javascript:alert(1)",
            "https://",
            "https:///x",
            "https://a b",
        ] {
            assert!(!is_address(url), "{url}");
        }
    }
}
