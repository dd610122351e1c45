//! Tags of answers: a client that sends the tag of an answer it has gets 304 while the answer is
//! the same.
//!
//! - **Answers**: JSON with status 200 to `GET`. Streams, exports and errors have no tag, and are
//!   not to be stored.
//! - **Caches**: answers depend on the principal, so that no shared cache may store one, and a
//!   private one asks again before each use.
//! - **Limit**: answers of more than 4 MiB have no tag.

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

const BODY_BYTES_MAX: u64 = 4 * 1024 * 1024;
const TAG_BYTES: usize = 16;
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static("Accept, Authorization, Cookie");

/// The strong tag of a body.
pub(super) fn tag_of(body: &[u8]) -> String {
    let digest = Sha256::digest(body);

    format!("\"{}\"", HEXLOWER.encode(&digest[..TAG_BYTES]))
}

/// Whether a client has the answer with this tag.
pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter();
    let mut tags = known
        .filter_map(|value| value.to_str().ok())
        .flat_map(|tags| tags.split(','))
        .map(str::trim);

    // The comparison is the weak one: a proxy that compresses answers weakens their tags.
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Adds the tag to an answer, or answers with 304.
pub(super) async fn tagged(request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let request_headers = request.headers().clone();
    let response = next.run(request).await;
    if !has_tag(&response) {
        return response;
    }

    let (mut head, body) = response.into_parts();
    // The body is in memory: its size is known.
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let tag = tag_of(&body);
    head.headers.insert(CACHE_CONTROL, PRIVATE);
    head.headers.append(VARY, REQUEST_HEADERS);
    let is_known = is_known(&request_headers, &tag);
    if let Ok(tag) = HeaderValue::try_from(tag) {
        head.headers.insert(ETAG, tag);
    }

    if is_known {
        head.status = StatusCode::NOT_MODIFIED;
        head.headers.remove(CONTENT_TYPE);
        head.headers.remove(CONTENT_LENGTH);
        (head, Body::empty()).into_response()
    } else {
        (head, body).into_response()
    }
}

fn has_tag(response: &Response) -> bool {
    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|content_type| content_type == "application/json");
    let bytes = response.body().size_hint().exact();

    response.status() == StatusCode::OK
        && is_json
        && bytes.is_some_and(|bytes| bytes <= BODY_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_tags(tags: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, HeaderValue::from_str(tags).unwrap());

        headers
    }

    #[test]
    fn a_tag_follows_from_the_body_alone() {
        assert_eq!(tag_of(b"{}"), tag_of(b"{}"));
        assert_ne!(tag_of(b"{}"), tag_of(b"[]"));
        assert_eq!(tag_of(b"").len(), 2 * TAG_BYTES + 2);
    }

    #[test]
    fn a_known_tag_is_found_in_every_form() {
        for known in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "\"b\",W/\"a\"", "*"] {
            assert!(is_known(&with_tags(known), "\"a\""), "{known}");
        }
        for unknown in ["", "a", "\"b\"", "\"aa\"", "W/"] {
            assert!(!is_known(&with_tags(unknown), "\"a\""), "{unknown}");
        }
        assert!(!is_known(&HeaderMap::new(), "\"a\""));
    }
}
