//! Protection from foreign web pages in the browsers of users.
//!
//! - A page may let its own name point to this address (DNS rebinding), and would then read every
//!   answer. Its requests bear its name as `Host`, so only addresses, `localhost` and configured
//!   names are served; other names get 421.
//! - A page may send requests whose answers it cannot read (CSRF). So requests of another origin
//!   that may change something get 403.
//!
//! Bodies are read here: nothing waits for a client that sends half of one.
//!
//! Programs send neither `Origin` nor `Sec-Fetch-Site`, and are not affected.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN, RETRY_AFTER};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::response::error_response;

/// The largest body: a directory.
const BODY_BYTES_MAX: usize = 2 << 20;
/// Time for the body of a request.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);
/// Bodies up to this size are always read: connections have a limit of their own.
const BODY_BYTES_FREE: usize = 4 << 10;
/// Room for what has arrived of larger bodies, in KiB.
static BODIES: Semaphore = Semaphore::const_new(64 << 10);
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The configured names of a listener.
#[derive(Clone, Debug)]
pub struct OwnHosts {
    /// The section of the settings with the names.
    section: &'static str,
    /// In lower case.
    names: Arc<[String]>,
}

impl OwnHosts {
    #[must_use]
    pub fn new(section: &'static str, names: &[String]) -> OwnHosts {
        OwnHosts {
            section,
            names: names.iter().map(|name| name.to_lowercase()).collect(),
        }
    }

    /// Whether a `Host` names this listener.
    fn contains(&self, host: &str) -> bool {
        let name = without_port(host).trim_end_matches('.').to_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']');

        name == "localhost" || self.names.contains(&name) || address.parse::<IpAddr>().is_ok()
    }
}

fn without_port(host: &str) -> &str {
    // The colons of an IPv6 address stand in brackets.
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Lets a request pass, or refuses it.
pub(super) async fn guard(State(hosts): State<OwnHosts>, request: Request, next: Next) -> Response {
    let mut names = request
        .headers()
        .get_all(HOST)
        .iter()
        .map(|value| value.to_str().unwrap_or_default())
        .chain(request.uri().authority().map(Authority::as_str));

    if !names.all(|host| hosts.contains(host)) {
        return error_response(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown_host",
            &format!(
                "this name is not served here: use an address or localhost, or add the name to \
                 `{}.hosts`",
                hosts.section
            ),
        );
    }
    if request.method() != Method::GET && !is_same_site(request.headers()) {
        return error_response(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "requests of other origins may not change anything",
        );
    }

    // No name in a path has a control character. PostgreSQL stores no NUL in any text.
    let path = percent_decode_str(request.uri().path()).decode_utf8();
    let query = request.uri().query().unwrap_or_default();
    let defect = match path {
        Err(_) => Some("the path has percent escapes that are not UTF-8"),
        Ok(path) if path.contains(char::is_control) => Some("the path has control characters"),
        Ok(_) if query.contains("%00") => Some("the query has a NUL character"),
        Ok(_) => None,
    };
    if let Some(defect) = defect {
        return error_response(StatusCode::BAD_REQUEST, "bad_parameter", defect);
    }

    match read_body(request).await {
        Ok(request) => next.run(request).await,
        Err(response) => *response,
    }
}

/// Reads the body of a request before anything else happens: in time, and not more than there is
/// memory for.
async fn read_body(request: Request) -> Result<Request, Box<Response>> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let announced = request.body().size_hint().upper();
    let length = announced.map_or(BODY_BYTES_MAX, |length| {
        usize::try_from(length).unwrap_or(usize::MAX)
    });
    if length > BODY_BYTES_MAX {
        return Err(Box::new(too_large()));
    }

    let (parts, body) = request.into_parts();
    match timeout(BODY_TIME_MAX, collect(body)).await {
        Ok(collected) => Ok(Request::from_parts(parts, Body::from(collected?))),
        Err(_) => Err(Box::new(error_response(
            StatusCode::REQUEST_TIMEOUT,
            "bad_body",
            "the body did not arrive in time",
        ))),
    }
}

/// Reads a body. What has arrived takes room, not what was announced: a client that announces much
/// and sends nothing keeps no other out.
async fn collect(body: Body) -> Result<Vec<u8>, Box<Response>> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut room: Option<SemaphorePermit<'static>> = None;

    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Box::new(too_large()))?;
        if bytes.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Box::new(too_large()));
        }
        bytes.extend_from_slice(&chunk);

        let needed = bytes.len().saturating_sub(BODY_BYTES_FREE).div_ceil(1_024);
        let held = room.as_ref().map_or(0, SemaphorePermit::num_permits);
        let missing = u32::try_from(needed.saturating_sub(held)).unwrap_or(u32::MAX);
        if missing > 0 {
            let more = BODIES
                .try_acquire_many(missing)
                .map_err(|_| Box::new(busy()))?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
        }
    }

    Ok(bytes)
}

fn too_large() -> Response {
    error_response(
        StatusCode::PAYLOAD_TOO_LARGE,
        "bad_body",
        "the body is too large",
    )
}

fn busy() -> Response {
    let busy = error_response(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "many large bodies are being read: try again in a moment",
    );

    ([(RETRY_AFTER, "1")], busy).into_response()
}

fn is_same_site(headers: &HeaderMap) -> bool {
    let is_foreign = text(headers, &HeaderName::from_static(SEC_FETCH_SITE))
        .is_some_and(|site| !matches!(site, "same-origin" | "none"));

    !is_foreign && is_same_origin(headers)
}

/// Whether the request comes from a page of this listener, or from no page at all.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    match (text(headers, &ORIGIN), text(headers, &HOST)) {
        // Only browsers send an origin.
        (None, _) => !headers.contains_key(ORIGIN),
        (Some(origin), Some(host)) => origin
            .split_once("://")
            .is_some_and(|(_, authority)| authority == host),
        (Some(_), None) => false,
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn addresses_localhost_and_configured_names_are_own_hosts() {
        let hosts = OwnHosts::new("gateway", &["Calls.Example".to_owned()]);

        for own in [
            "127.0.0.1",
            "127.0.0.1:8088",
            "10.1.2.3:80",
            "[::1]:8088",
            "[::1]",
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "calls.example",
            "calls.EXAMPLE.:443",
        ] {
            assert!(hosts.contains(own), "{own}");
        }
        for foreign in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "xcalls.example",
            "calls.example.evil",
            "127.0.0.1:80:evil",
        ] {
            assert!(!hosts.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_foreign_and_programs_are_not() {
        assert!(is_same_site(&headers(&[("host", "h:1")])));
        assert!(is_same_site(&headers(&[
            ("host", "h:1"),
            ("origin", "http://h:1"),
            ("sec-fetch-site", "same-origin"),
        ])));

        for origin in ["null", "http://h:2", "http://h:1.evil", "http://evil"] {
            let foreign = headers(&[("host", "h:1"), ("origin", origin)]);
            assert!(!is_same_site(&foreign), "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            let foreign = headers(&[("host", "h:1"), ("sec-fetch-site", site)]);
            assert!(!is_same_site(&foreign), "{site}");
        }
        let undecodable = HeaderValue::from_bytes(b"http://h:1\xff").unwrap();
        let mut foreign = headers(&[("host", "h:1")]);
        foreign.insert(ORIGIN, undecodable);
        assert!(!is_same_site(&foreign));
    }
}
