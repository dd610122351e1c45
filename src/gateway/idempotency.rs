//! `Idempotency-Key`: a client that got no answer sends its request again, and it is carried out once.
//!
//! - **Scope**: changes over the API, by account or token. Answers that hold a secret are not kept, so
//!   their paths refuse the header.
//! - **Once**: the database decides, whichever gateway gets the request. A request is carried out to
//!   its end when its client does not wait.
//! - **Limits**: answers of up to 64 KiB are kept for a day. A request under way says so every 15 s;
//!   one whose process has died may be carried out again after a minute.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

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
use crate::port::clock::Clock;
use crate::port::error::LedgerError;
use crate::port::repeats::{Begun, KeptAnswer, RepeatableRequest, Repeats};
use crate::wire::names::schemas;

const HEADER: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const KEY_CHARS_MAX: usize = 128;
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const KEPT: Span = Span::seconds(86_400);
/// The process of a request that has not said for so long that it is under way has died.
const STALE: Span = Span::seconds(60);
const RENEWED_EVERY: Duration = Duration::from_secs(15);
/// Paths whose answers hold a secret, whose requests end the session that asks, or whose effect ends by
/// itself and would not begin again with a repeated answer.
pub(super) const UNREPEATABLE_PATHS: [&str; 9] = [
    "/api/v1/users",
    "/api/v1/users/{name}/link",
    "/api/v1/tokens",
    "/api/v1/webhooks",
    "/api/v1/webhooks/{id}/secret",
    "/api/v1/ticket",
    "/api/v1/me/password",
    "/api/v1/me/reveal",
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
    if path.is_some_and(|path| UNREPEATABLE_PATHS.contains(&path.as_str())) {
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
        "{} {:?} {} {:?}",
        principal.role.name(),
        principal.sites.names(),
        principal.sees_all_numbers(),
        principal.extension,
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
    let mut under_way = UnderWay {
        repeats: &*gateway.repeats,
        clock: &*gateway.clock,
        request: &repeatable,
        begun_at,
        renewed_every: RENEWED_EVERY,
    };
    let response = under_way.carry_out(next.run(request)).await;
    let begun_at = under_way.begun_at;
    let (head, body) = response.into_parts();
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

/// A request that is being carried out.
struct UnderWay<'a> {
    repeats: &'a dyn Repeats,
    clock: &'a dyn Clock,
    request: &'a RepeatableRequest,
    /// The instant that is stored.
    begun_at: At,
    renewed_every: Duration,
}

impl UnderWay<'_> {
    /// Carries the request out, and says at intervals that it is under way.
    async fn carry_out<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);

        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                () = tokio::time::sleep(self.renewed_every) => {}
            }

            // The work goes on meanwhile. A statement that has begun is waited for: its instant may be
            // stored.
            let mut renewed = pin!(self.renew());
            tokio::select! {
                biased;
                () = &mut renewed => {}
                result = &mut work => {
                    renewed.await;
                    return result;
                }
            }
        }
    }

    async fn renew(&mut self) {
        let now = self.clock.now();
        match self.repeats.renew(self.request, self.begun_at, now).await {
            Ok(true) => self.begun_at = now,
            Ok(false) => {}
            Err(error) => tracing::warn!(
                error = %Chain(&error),
                "a request cannot say that it is under way, it may be carried out twice",
            ),
        }
    }
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
    use std::sync::atomic::{AtomicI64, Ordering};

    use async_trait::async_trait;
    use parking_lot::Mutex;
    use tokio::sync::oneshot;

    use super::*;

    /// Lets the request of a test end with its third sign.
    struct Signs {
        instants: Mutex<Vec<At>>,
        end: Mutex<Option<oneshot::Sender<()>>>,
    }

    #[async_trait]
    impl Repeats for Signs {
        async fn begin(
            &self,
            _: &RepeatableRequest,
            _: At,
            _: At,
            _: At,
        ) -> Result<Begun, LedgerError> {
            unreachable!()
        }

        async fn renew(
            &self,
            _: &RepeatableRequest,
            begun_at: At,
            _: At,
        ) -> Result<bool, LedgerError> {
            let mut instants = self.instants.lock();
            instants.push(begun_at);
            if instants.len() == 3
                && let Some(end) = self.end.lock().take()
            {
                end.send(()).unwrap();
            }

            Ok(true)
        }

        async fn keep_answer(
            &self,
            _: &RepeatableRequest,
            _: At,
            _: &KeptAnswer,
        ) -> Result<(), LedgerError> {
            unreachable!()
        }

        async fn forget(&self, _: &RepeatableRequest, _: At) -> Result<(), LedgerError> {
            unreachable!()
        }
    }

    /// A second passes with each look at it.
    #[derive(Default)]
    struct Seconds(AtomicI64);

    impl Clock for Seconds {
        fn now(&self) -> At {
            At(1 + self.0.fetch_add(1, Ordering::Relaxed))
        }

        fn steady(&self) -> Span {
            Span::ZERO
        }
    }

    #[tokio::test]
    async fn a_long_request_says_that_it_is_under_way_until_its_end() {
        let (end, ended) = oneshot::channel();
        let repeats = Signs {
            instants: Mutex::default(),
            end: Mutex::new(Some(end)),
        };
        let request = RepeatableRequest {
            owner: "crm".to_owned(),
            key: "k".to_owned(),
            digest: "a".to_owned(),
        };
        let mut under_way = UnderWay {
            repeats: &repeats,
            clock: &Seconds::default(),
            request: &request,
            begun_at: At(0),
            renewed_every: Duration::from_millis(1),
        };

        let result = under_way.carry_out(ended).await;

        assert_eq!((result, under_way.begun_at), (Ok(()), At(3)));
        assert_eq!(*repeats.instants.lock(), [At(0), At(1), At(2)]);
    }

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
