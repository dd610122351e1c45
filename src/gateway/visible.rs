//! The part of a call that a principal sees: calls of other sites are left out, and numbers are
//! masked where its role has no right to them.

use std::borrow::Cow;

use axum::response::Response;
use serde_json::Value;

use super::response::{bad_parameter, no_right};
use crate::access::{Principal, SiteError, mask_record};
use crate::domain::fact::Site;

/// The record as the principal sees it; `None` when it does not see the call.
pub(super) fn visible_record<'r>(principal: &Principal, record: &'r str) -> Option<Cow<'r, str>> {
    visible(principal, record, |record| record)
}

/// The data of an event, `{"call_id":..,"call":..}`, as the principal sees it.
pub(super) fn visible_event<'d>(principal: &Principal, data: &'d str) -> Option<Cow<'d, str>> {
    visible(principal, data, |data| &mut data["call"])
}

/// A document with a call in it, as the principal sees it.
fn visible<'t>(
    principal: &Principal,
    text: &'t str,
    call_of: impl FnOnce(&mut Value) -> &mut Value,
) -> Option<Cow<'t, str>> {
    if principal.is_unlimited() {
        return Some(Cow::Borrowed(text));
    }

    let mut document: Value = serde_json::from_str(text).ok()?;
    let call = call_of(&mut document);
    // Without a call there is nothing but its id: it was none after all.
    if call.is_null() {
        return Some(Cow::Borrowed(text));
    }
    if !sees(principal, call) {
        return None;
    }
    if principal.sees_all_numbers() || is_own(principal, call) {
        return Some(Cow::Borrowed(text));
    }

    mask_record(call);
    Some(Cow::Owned(document.to_string()))
}

fn sees(principal: &Principal, record: &Value) -> bool {
    record["site"]
        .as_str()
        .is_some_and(|site| principal.sites.contains(site))
}

/// Whether the phone of the principal has a part in the call.
fn is_own(principal: &Principal, record: &Value) -> bool {
    let Some(own) = &principal.extension else {
        return false;
    };
    let participants = record["participants"].as_array();

    participants.is_some_and(|participants| {
        participants
            .iter()
            .any(|participant| participant["extension"].as_str() == Some(own.as_str()))
    })
}

/// The site that a query of the principal is limited to.
pub(super) fn site_of(
    principal: &Principal,
    requested: Option<String>,
) -> Result<Option<String>, Box<Response>> {
    let requested = match requested {
        None => None,
        Some(name) => match Site::parse(&name) {
            Some(site) => Some(site.as_str().to_owned()),
            None => return Err(Box::new(bad_parameter("`site` is not a site name"))),
        },
    };

    principal.site(requested).map_err(|error| {
        Box::new(match error {
            SiteError::NotAllowed => no_right(&error.to_string()),
            SiteError::Ambiguous(_) => bad_parameter(&error.to_string()),
        })
    })
}
