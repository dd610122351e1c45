//! The cookie of a session. Its prefix makes browsers refuse it unless it is secure, of this host
//! alone, and of all paths; loopback counts as secure.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use crate::access::Secret;

pub(in crate::gateway) const NAME: &str = "__Host-cordboard";
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

pub(super) fn set(secret: &Secret, max_age_seconds: i64) -> Option<HeaderValue> {
    let cookie = format!(
        "{NAME}={}; {ATTRIBUTES}; Max-Age={max_age_seconds}",
        secret.as_str()
    );

    HeaderValue::try_from(cookie).ok()
}

pub(super) fn clear() -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{NAME}=; {ATTRIBUTES}; Max-Age=0")).ok()
}

/// The secret of the first cookie of this name.
pub(super) fn read(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == NAME)
        .map(|(_, secret)| secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; __Host-cordboard=x"));
        headers.append(COOKIE, HeaderValue::from_static("__Host-cordboard=y"));

        assert_eq!(read(&headers), Some("x"));
        assert_eq!(read(&HeaderMap::new()), None);
    }
}
