//! Names of the callers of many calls at once, for lists.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::caller::Caller;
use crate::access::{Principal, mask_numbers_in};
use crate::gateway::Gateway;
use crate::gateway::parameters::{LIMIT_MAX, Parameters, PlainText, query, require_plain};
use crate::gateway::response::{bad_parameter, document_response, unavailable_response};
use crate::gateway::visible::sees_site;
use crate::port::contacts::Contact;
use crate::port::error::LedgerError;

/// Records that are read at once.
const READS_MAX: usize = 4;

/// The query of names.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NameParameters {
    /// Ids of calls with commas between them, at most 200.
    #[param(inline, value_type = Option<PlainText>)]
    calls: Option<String>,
}

impl Parameters for NameParameters {
    const NAMES: &'static str = "`calls`";
}

/// Names by the ids of calls.
#[derive(Serialize, ToSchema)]
struct CallerNames {
    names: BTreeMap<String, String>,
}

/// Names of callers that have contacts.
///
/// The name of the only contact, or the company of all of them. Calls of other sites, and callers of
/// whom no one name is known, are left out.
#[utoipa::path(
    get,
    path = "/api/v1/caller-names",
    operation_id = "list_caller_names",
    tag = "Contacts",
    params(NameParameters),
    responses((status = 200, description = "The names.", body = CallerNames)),
)]
pub(super) async fn names(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<NameParameters>, QueryRejection>,
) -> Response {
    let checked = query(parameters).and_then(|NameParameters { calls }| {
        require_plain("calls", calls.as_deref())?;
        ids(&calls.unwrap_or_default())
    });
    let ids = match checked {
        Ok(ids) => ids,
        Err(message) => return bad_parameter(&message),
    };

    match names_of(&gateway, &principal, ids).await {
        Ok(names) => document_response(StatusCode::OK, &CallerNames { names }),
        Err(error) => unavailable_response(&error),
    }
}

fn ids(text: &str) -> Result<Vec<String>, String> {
    let ids: Vec<String> = text
        .split(',')
        .filter(|id| !id.is_empty())
        .map(ToOwned::to_owned)
        .collect();

    if ids.len() > LIMIT_MAX as usize {
        return Err(format!("`calls` names at most {LIMIT_MAX} calls"));
    }
    Ok(ids)
}

async fn names_of(
    gateway: &Gateway,
    principal: &Principal,
    ids: Vec<String>,
) -> Result<BTreeMap<String, String>, LedgerError> {
    let read = |id: String| async move {
        let record = gateway.query.call(&id).await?;
        let record = record.and_then(|record| serde_json::from_str::<Value>(&record).ok());
        let seen = record.filter(|record| sees_site(principal, record["site"].as_str()));
        let caller = seen.and_then(|record| Caller::of(gateway, &record));

        Ok::<_, LedgerError>(caller.map(|caller| (id, (caller.site, caller.number))))
    };
    let callers: Vec<Option<(String, Number)>> = stream::iter(ids)
        .map(read)
        .buffered(READS_MAX)
        .try_collect()
        .await?;
    let callers: Vec<(String, Number)> = callers.into_iter().flatten().collect();
    let numbers: Vec<Number> = callers.iter().map(|(_, number)| number.clone()).collect();

    let mut contacts: HashMap<Number, Vec<Contact>> = HashMap::new();
    for contact in gateway.callers.contacts.contacts_of_all(&numbers).await? {
        let number = (contact.site.clone(), (*contact.number).to_owned());
        contacts.entry(number).or_default().push(contact);
    }
    let shows_numbers = principal.sees_all_numbers();
    let named = callers.into_iter().filter_map(|(id, number)| {
        let name = name_of(contacts.get(&number)?)?;
        // A name may be a number.
        let name = if shows_numbers {
            name
        } else {
            mask_numbers_in(&name)
        };
        Some((id, name))
    });
    Ok(named.collect())
}

/// A number with its site.
type Number = (String, String);

/// The one name of contacts with the same number.
fn name_of(contacts: &[Contact]) -> Option<String> {
    let (first, others) = contacts.split_first()?;
    // A number may be wanted for several calls.
    if others.iter().all(|other| other.name == first.name) {
        return Some((*first.name).to_owned());
    }
    let is_company =
        !first.company.is_empty() && others.iter().all(|other| other.company == first.company);

    is_company.then(|| (*first.company).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_contacts_of_a_company_have_its_name() {
        let contact = |name: &str, company: &str| Contact {
            site: "berlin".to_owned(),
            number: "+4930".into(),
            name: name.into(),
            company: company.into(),
            url: "".into(),
        };
        let ada = contact("Ada", "Vogel");

        assert_eq!(name_of(std::slice::from_ref(&ada)), Some("Ada".to_owned()));
        assert_eq!(name_of(&[ada.clone(), ada.clone()]), Some("Ada".to_owned()));
        let colleagues = [ada.clone(), contact("Bea", "Vogel")];
        assert_eq!(name_of(&colleagues), Some("Vogel".to_owned()));
        assert_eq!(name_of(&[ada, contact("Bea", "Falke")]), None);
        assert_eq!(name_of(&[contact("Ada", ""), contact("Bea", "")]), None);
    }
}
