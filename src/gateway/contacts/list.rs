//! The list of contacts, as JSON and as CSV, and the removal of contacts.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::{Principal, Right, mask_number, mask_numbers_in};
use crate::domain::text::PrivateText;
use crate::gateway::Gateway;
use crate::gateway::csv::Table;
use crate::gateway::parameters::{
    Format, LIMIT_MAX, Limit, Parameters, PlainText, Segment, SiteName, checked_limit, query,
    require_one_of, require_plain,
};
use crate::gateway::response::{
    bad_parameter, document_response, error_response, no_right, unavailable_response,
};
use crate::gateway::visible::{one_site_of, site_of};
use crate::port::contacts::{Contact, ContactPage};
use crate::port::error::LedgerError;

pub(super) const COLUMNS: [&str; 5] = ["site", "number", "name", "company", "url"];
/// Contacts of one file.
const EXPORTED_MAX: u32 = 200_000;
const EXPORTED_AT_ONCE: u32 = 5_000;
const LIST_LENGTH: u32 = 50;

/// The query of contacts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ContactParameters {
    /// The PBX. An account of one site needs no name of a site.
    #[param(inline, value_type = Option<SiteName>)]
    site: Option<String>,
    /// A fragment of a name, of a company, or of a number.
    #[param(inline, value_type = Option<PlainText>)]
    text: Option<String>,
    /// Contacts before the page.
    #[param(minimum = 0, maximum = 10_000_000)]
    skip: Option<u32>,
    /// The length of the list; 50 if absent.
    #[param(inline, value_type = Option<Limit>)]
    limit: Option<u32>,
    /// `csv` for all contacts as a file.
    #[param(inline, value_type = Option<Format>)]
    format: Option<String>,
}

impl Parameters for ContactParameters {
    const NAMES: &'static str = "`site`, `text`, `skip`, `limit` and `format`";
}

/// A contact.
#[derive(Serialize, ToSchema)]
#[schema(as = Contact)]
struct ContactJson {
    site: String,
    number: String,
    name: String,
    /// Empty where there is none.
    company: String,
    /// The page of the contact in another program; empty where there is none.
    url: String,
}

/// A page of contacts.
#[derive(Serialize, ToSchema)]
struct ContactList {
    contacts: Vec<ContactJson>,
    /// Whether there are further ones.
    more: bool,
}

/// Contacts by site, name and number.
///
/// Accounts with masked numbers see them masked here, and find none by its number. As CSV: all of them,
/// at most 200,000, with their numbers; the audit log keeps it. Needs the right `directory`.
#[utoipa::path(
    get,
    path = "/api/v1/contacts",
    operation_id = "list_contacts",
    tag = "Contacts",
    params(ContactParameters),
    responses(
        (status = 200, description = "Contacts.",
            content((ContactList = "application/json"), (String = "text/csv"))),
        (status = 403, description = "`no_right`: the account cannot read contacts."),
    ),
)]
pub(super) async fn contacts(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<ContactParameters>, QueryRejection>,
) -> Response {
    if !principal.may(Right::Directory) {
        return no_right("this account cannot read contacts");
    }
    let checked = query(parameters).and_then(ContactParameters::check);
    let (mut page, wants_csv) = match checked {
        Ok(checked) => checked,
        Err(message) => return bad_parameter(&message),
    };
    page.site = match site_of(&principal, page.site.take()) {
        Ok(site) => site,
        Err(response) => return *response,
    };
    if wants_csv {
        return export(&gateway, &principal, page).await;
    }
    let shows_numbers = principal.sees_all_numbers();
    let has_digits = |text: &PrivateText| text.contains(char::is_numeric);
    if !shows_numbers && page.text.as_ref().is_some_and(has_digits) {
        return no_right("this account sees masked numbers and cannot search for them");
    }

    // One more than the page shows whether there are further ones.
    let limit = page.limit as usize;
    page.limit += 1;
    match gateway.callers.contacts.contacts(&page).await {
        Ok(found) => {
            let more = found.len() > limit;
            let contacts = found.into_iter().take(limit);
            let contacts = contacts.map(|contact| contact_json(&contact, shows_numbers));
            let contacts = contacts.collect();
            document_response(StatusCode::OK, &ContactList { contacts, more })
        }
        Err(error) => unavailable_response(&error),
    }
}

impl ContactParameters {
    fn check(self) -> Result<(ContactPage, bool), String> {
        require_plain("text", self.text.as_deref())?;
        if let Some(format) = &self.format {
            require_one_of("format", format, &["json", "csv"])?;
        }

        let page = ContactPage {
            site: self.site,
            text: self
                .text
                .as_deref()
                .filter(|text| !text.is_empty())
                .map(Into::into),
            skipped: self.skip.unwrap_or_default(),
            limit: checked_limit(self.limit, LIST_LENGTH.min(LIMIT_MAX))?,
        };
        Ok((page, self.format.as_deref() == Some("csv")))
    }
}

fn contact_json(contact: &Contact, shows_numbers: bool) -> ContactJson {
    if !shows_numbers {
        return ContactJson {
            site: contact.site.clone(),
            number: mask_number(&contact.number),
            name: mask_numbers_in(&contact.name),
            company: mask_numbers_in(&contact.company),
            url: String::new(),
        };
    }

    ContactJson {
        site: contact.site.clone(),
        number: (*contact.number).to_owned(),
        name: (*contact.name).to_owned(),
        company: (*contact.company).to_owned(),
        url: (*contact.url).to_owned(),
    }
}

async fn export(gateway: &Gateway, principal: &Principal, mut page: ContactPage) -> Response {
    let mut table = Table::new(&COLUMNS);
    page.skipped = 0;
    page.limit = EXPORTED_AT_ONCE;

    while page.skipped < EXPORTED_MAX {
        let found = match gateway.callers.contacts.contacts(&page).await {
            Ok(found) => found,
            Err(error) => return unavailable_response(&error),
        };
        for contact in &found {
            let cells: [&str; COLUMNS.len()] = [
                &contact.site,
                &contact.number,
                &contact.name,
                &contact.company,
                &contact.url,
            ];
            table.row(cells.map(ToOwned::to_owned));
        }
        if found.len() < EXPORTED_AT_ONCE as usize {
            break;
        }
        page.skipped += EXPORTED_AT_ONCE;
    }
    gateway
        .access
        .audit(principal.name(), "contacts_exported", page.site.as_deref())
        .await;

    table.into_response("contacts.csv")
}

/// The query of a removal.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RemovalParameters {
    /// The PBX; `default` if absent. An account of one site needs no name of a site.
    #[param(inline, value_type = Option<SiteName>)]
    site: Option<String>,
    /// The name of the contact; all of the number if absent.
    #[param(inline, value_type = Option<PlainText>)]
    name: Option<String>,
}

impl Parameters for RemovalParameters {
    const NAMES: &'static str = "`site` and `name`";
}

/// The number of contacts that were removed.
#[derive(Serialize, ToSchema)]
struct RemovedContacts {
    removed: u64,
}

/// Removes the contacts of a number, or one of them.
///
/// Needs the right `directory`.
#[utoipa::path(
    delete,
    path = "/api/v1/contacts/{number}",
    operation_id = "remove_contacts",
    tag = "Contacts",
    params(
        ("number" = inline(Segment), Path, description = "The number, in any of its forms."),
        RemovalParameters,
    ),
    responses(
        (status = 200, description = "They are removed.", body = RemovedContacts),
        (status = 403, description = "`no_right`: the account cannot change contacts."),
        (status = 404, description = "`not_found`: there is no such contact."),
    ),
)]
pub(super) async fn remove(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(number): Path<String>,
    parameters: Result<QueryString<RemovalParameters>, QueryRejection>,
) -> Response {
    if !principal.may(Right::Directory) {
        return no_right("this account cannot change contacts");
    }
    let checked = query(parameters).and_then(|parameters| {
        require_plain("name", parameters.name.as_deref())?;
        Ok(parameters)
    });
    let (site, name) = match checked {
        Ok(RemovalParameters { site, name }) => (site, name.filter(|name| !name.is_empty())),
        Err(message) => return bad_parameter(&message),
    };
    let site = match one_site_of(&principal, site) {
        Ok(site) => site,
        Err(response) => return *response,
    };

    let removed: Result<u64, LedgerError> = async {
        let Some(number) = gateway.number_of(&site, &number) else {
            return Ok(0);
        };
        let contacts = &gateway.callers.contacts;
        contacts
            .remove_contacts(&site, &number, name.as_deref())
            .await
    }
    .await;
    match removed {
        Ok(0) => error_response(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such contact",
        ),
        Ok(removed) => {
            gateway
                .access
                .audit(principal.name(), "contacts_removed", Some(&site))
                .await;
            document_response(StatusCode::OK, &RemovedContacts { removed })
        }
        Err(error) => unavailable_response(&error),
    }
}
