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
use utoipa::openapi::{ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};

use super::caller::{Caller, ContactJson, one_name_of};
use crate::access::{Principal, mask_numbers_in};
use crate::gateway::Gateway;
use crate::gateway::parameters::{LIMIT_MAX, Parameters, query};
use crate::gateway::response::{bad_parameter, document_response, unavailable_response};
use crate::port::error::LedgerError;
use crate::wire::names::schemas;

/// Records that are read at once.
const READS_MAX: usize = 4;
const ID_BYTES_MAX: usize = 64;

schemas! {
    CallIds = ObjectBuilder::new().schema_type(Type::String).pattern(Some(r"^[^\u0000]*$")),
        "Ids of calls with commas between them.";
}

/// The query of names.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NameParameters {
    /// Ids of calls with commas between them, at most 200.
    #[param(inline, value_type = Option<CallIds>)]
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
    let checked =
        query(parameters).and_then(|NameParameters { calls }| ids(&calls.unwrap_or_default()));
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
    // PostgreSQL rejects a query with a NUL.
    if ids
        .iter()
        .any(|id| id.len() > ID_BYTES_MAX || id.contains('\0'))
    {
        return Err("`calls` names ids with commas between them".to_owned());
    }
    Ok(ids)
}

async fn names_of(
    gateway: &Gateway,
    principal: &Principal,
    ids: Vec<String>,
) -> Result<BTreeMap<String, String>, LedgerError> {
    let read = |id: String| async move {
        let record = gateway.seen_call(principal, &id).await?;
        let caller = record.and_then(|record| Caller::of(gateway, &record));

        Ok::<_, LedgerError>(caller.map(|caller| (id, (caller.site, caller.number))))
    };
    let callers: Vec<Option<(String, Number)>> = stream::iter(ids)
        .map(read)
        .buffered(READS_MAX)
        .try_collect()
        .await?;
    let callers: Vec<(String, Number)> = callers.into_iter().flatten().collect();
    let numbers: Vec<Number> = callers.iter().map(|(_, number)| number.clone()).collect();

    let mut contacts: HashMap<Number, Vec<ContactJson>> = HashMap::new();
    for contact in gateway.callers.contacts.contacts_of_all(&numbers).await? {
        let number = (contact.site.clone(), (*contact.number).to_owned());
        let contact = ContactJson::of(&contact);
        contacts.entry(number).or_default().push(contact);
    }
    let shows_numbers = principal.sees_all_numbers();
    let named = callers.into_iter().filter_map(|(id, number)| {
        let name = one_name_of(contacts.get(&number)?)?.to_owned();
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
