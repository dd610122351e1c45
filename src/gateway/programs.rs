//! The checks that the routes for other programs share.

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use super::response::no_right;
use crate::access::{Principal, Right, SiteScope};

pub(super) const NAME_BYTES_MAX: usize = 128;

/// Lets programs and admins of all sites pass: what they ask for is found by ids that name no site,
/// and holds numbers. `subject` is what the routes are about.
pub(super) async fn require_states(
    subject: &str,
    principal: Arc<Principal>,
    request: Request,
    next: Next,
) -> Response {
    if !principal.may(Right::States) || principal.sites != SiteScope::All {
        return no_right(&format!(
            "{subject} are for integrators and admins of all sites"
        ));
    }
    if !principal.sees_all_numbers() {
        return no_right(&format!(
            "{subject} show numbers: ask for them with POST /api/v1/me/reveal"
        ));
    }

    next.run(request).await
}

/// Checks a name that a program has chosen.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), String> {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control) {
        Ok(())
    } else {
        Err(format!(
            "`{field}` must have 1 to {NAME_BYTES_MAX} bytes and no control characters"
        ))
    }
}
