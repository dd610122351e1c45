//! The part of a call that a principal sees: calls of other sites are left out, and numbers are
//! masked where its role has no right to them.

use std::borrow::Cow;

use axum::response::Response;
use serde_json::Value;

use super::response::{bad_parameter, no_right};
use crate::access::{Principal, SiteError, SiteScope, mask_record};
use crate::domain::fact::{DEFAULT_SITE, Site};

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
    // A call that was none after all has an id and a site.
    let site = document["site"].clone();
    let call = call_of(&mut document);
    if call.is_null() {
        return sees_site(principal, site.as_str()).then_some(Cow::Borrowed(text));
    }
    if !sees_site(principal, call["site"].as_str()) {
        return None;
    }
    if shows_numbers(principal, call) {
        return Some(Cow::Borrowed(text));
    }

    mask_record(call);
    Some(Cow::Owned(document.to_string()))
}

/// Whether the principal sees the site. One that is not known is seen by those who see all.
pub(super) fn sees_site(principal: &Principal, site: Option<&str>) -> bool {
    match site {
        Some(site) => principal.sites.contains(site),
        None => principal.sites == SiteScope::All,
    }
}

/// Whether the principal sees the numbers of a call at one of its sites.
pub(super) fn shows_numbers(principal: &Principal, record: &Value) -> bool {
    principal.sees_all_numbers() || is_own(principal, record)
}

/// Whether the phone of the principal has a part in the call.
fn is_own(principal: &Principal, record: &Value) -> bool {
    let Some(own) = &principal.extension else {
        return false;
    };
    if record["site"].as_str() != principal.own_site() {
        return false;
    }
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

/// The one site of a request: that which it names, or the principal is limited to, or `default`.
pub(super) fn one_site_of(
    principal: &Principal,
    requested: Option<String>,
) -> Result<String, Box<Response>> {
    let site = site_of(principal, requested)?;

    Ok(site.unwrap_or_else(|| DEFAULT_SITE.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_withdrawn_call_of_another_site_is_not_seen() {
        let event = |site: Value| json!({ "call_id": "c", "site": site, "call": null }).to_string();

        for (sites, site, is_seen) in [
            (&["berlin"][..], json!("berlin"), true),
            (&["berlin"], json!("paris"), false),
            (&["berlin"], Value::Null, false),
            (&[], json!("paris"), true),
            (&[], Value::Null, true),
        ] {
            let seen = visible_event(&Principal::agent_of(sites), &event(site.clone())).is_some();
            assert_eq!(seen, is_seen, "{sites:?} sees {site}");
        }
    }

    #[test]
    fn the_same_extension_of_another_site_is_not_ones_own() {
        let record = |site: &str| {
            let call = json!({
                "site": site,
                "from": { "number": "03023125418", "e164": "+493023125418", "name": null },
                "participants": [{ "extension": "201" }],
            });
            call.to_string()
        };
        let shows = |sites: &[&str], site: &str| {
            visible_record(&Principal::agent_of(sites), &record(site))
                .unwrap()
                .contains("03023125418")
        };

        assert!(shows(&["berlin"], "berlin"));
        assert!(shows(&[], "default"));
        assert!(!shows(&[], "berlin"));
        assert!(!shows(&["berlin", "paris"], "berlin"));
    }
}
