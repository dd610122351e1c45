//! `Idempotency-Key`: a client that got no answer sends its request again, and it is carried out once.
//!
//! - **Scope**: changes over the API, by account or token. Answers that hold a secret are not kept, so
//!   their paths refuse the header.
//! - **Once**: the database decides, whichever gateway gets the request. A request is carried out to
//!   its end when its client does not wait.
//! - **Limits**: answers of up to 64 KiB are kept for a day. A request whose process has died may be
//!   carried out again after a minute.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use utoipa::openapi::{ObjectBuilder, Type};

use super::Gateway;
use super::response::{error_response, unavailable_response};
use crate::access::Principal;
use crate::chain::Chain;
use crate::domain::time::{At, Span};
use crate::port::error::LedgerError;
use crate::port::repeats::{Begun, KeptAnswer, RepeatableRequest};
use crate::wire::names::schemas;

const HEADER: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const KEY_CHARS_MAX: usize = 128;
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const KEPT: Span = Span::seconds(86_400);
/// No request takes longer.
const STALE: Span = Span::seconds(60);
/// Paths whose answers hold a secret, or end the session that asks.
pub(super) const SECRET_PATHS: [&str; 8] = [
    "/api/v1/users",
    "/api/v1/users/{name}/link",
    "/api/v1/tokens",
    "/api/v1/webhooks",
    "/api/v1/webhooks/{id}/secret",
    "/api/v1/ticket",
    "/api/v1/me/password",
    "/api/v1/session",
];

schemas! {
    Key = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(KEY_CHARS_MAX))
            .pattern(Some(r"^[\x21-\x7e]+$")),
        "The key of a request.";
}

/// Carries a request with a key out once; requests without one pass.
pub(super) async fn once(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let is_change = request.method() != Method::GET && request.method() != Method::HEAD;
    let key = match key_of(request.headers()) {
        Ok(Some(key)) if is_change => key,
        Ok(_) => return next.run(request).await,
        Err(message) => return bad_key(message),
    };
    if path.is_some_and(|path| SECRET_PATHS.contains(&path.as_str())) {
        return bad_key("this path takes no `Idempotency-Key`: its answers are not kept");
    }

    let (head, body) = request.into_parts();
    // The body is in memory already.
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    // With other rights the answer of before is none for this principal.
    let rights = format!(
        "{} {:?} {}",
        principal.role.name(),
        principal.sites.names(),
        principal.sees_all_numbers()
    );
    let digest = Sha256::new()
        .chain_update(rights)
        .chain_update([0])
        .chain_update(head.method.as_str())
        .chain_update([0])
        .chain_update(head.uri.to_string())
        .chain_update([0])
        .chain_update(&body)
        .finalize();
    let repeatable = RepeatableRequest {
        owner: principal.name().to_owned(),
        key,
        digest: HEXLOWER.encode(&digest),
    };
    let request = Request::from_parts(head, Body::from(body));

    let now = gateway.clock.now();
    let begun = gateway
        .repeats
        .begin(&repeatable, now, now - STALE, now - KEPT);
    match begun.await {
        Ok(Begun::New) => {
            // It goes on when the client does not wait for the end.
            let carried_out = tokio::spawn(carry_out(gateway, repeatable, now, request, next));
            match carried_out.await {
                Ok(response) => response,
                Err(error) => unavailable_response(&LedgerError::Unavailable(error.into())),
            }
        }
        Ok(Begun::Answered(answer)) => replay(answer),
        Ok(Begun::UnderWay) => error_response(
            StatusCode::CONFLICT,
            "request_under_way",
            "the request with this `Idempotency-Key` has no answer yet",
        ),
        Ok(Begun::Other) => error_response(
            StatusCode::UNPROCESSABLE_ENTITY,
            "key_of_another_request",
            "another request had this `Idempotency-Key`",
        ),
        Err(error) => unavailable_response(&error),
    }
}

/// The key of a request, with or without the quotes of a structured header.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    const WRONG: &str = "`Idempotency-Key` must be one text of 1 to 128 visible ASCII characters";

    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| WRONG)?.trim();
    let key = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    let is_right = (1..=KEY_CHARS_MAX).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_graphic())
        && values.next().is_none();

    is_right.then(|| Some(key.to_owned())).ok_or(WRONG)
}

fn bad_key(message: &str) -> Response {
    error_response(StatusCode::BAD_REQUEST, "bad_idempotency_key", message)
}

/// Keeps the answer of a request. One that failed for a reason of the server is forgotten: the client
/// may send it again.
async fn carry_out(
    gateway: Gateway,
    repeatable: RepeatableRequest,
    begun_at: At,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = next.run(request).await.into_parts();
    // Answers to changes are in memory.
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };

    let text = std::str::from_utf8(&body).ok();
    let kept = text.filter(|text| !head.status.is_server_error() && text.len() <= ANSWER_BYTES_MAX);
    let stored = match kept {
        Some(text) => {
            let content_type = head.headers.get(CONTENT_TYPE);
            let answer = KeptAnswer {
                status: head.status.as_u16(),
                content_type: content_type
                    .and_then(|value| value.to_str().ok())
                    .map(ToOwned::to_owned),
                body: text.to_owned(),
            };
            gateway
                .repeats
                .keep_answer(&repeatable, begun_at, &answer)
                .await
        }
        None => gateway.repeats.forget(&repeatable, begun_at).await,
    };
    if let Err(error) = stored {
        tracing::warn!(
            error = %Chain(&error),
            "the answer of a request is not kept, it may be carried out again",
        );
    }

    (head, Body::from(body)).into_response()
}

fn replay(answer: KeptAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    if let Some(content_type) = answer.content_type
        && let Ok(content_type) = HeaderValue::try_from(content_type)
    {
        headers.insert(CONTENT_TYPE, content_type);
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));

    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_visible_text() {
        let key = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, HeaderValue::from_str(value).unwrap());
            }
            key_of(&headers).map_err(|_| ())
        };

        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&["abc-1"]), Ok(Some("abc-1".to_owned())));
        assert_eq!(key(&["\"abc-1\""]), Ok(Some("abc-1".to_owned())));
        for wrong in [
            &[""][..],
            &["a b"],
            &["\"\""],
            &["a", "a"],
            &[&"x".repeat(129)],
        ] {
            assert_eq!(key(wrong), Err(()), "{wrong:?}");
        }
    }
}
