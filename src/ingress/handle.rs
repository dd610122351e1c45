//! One request: who sends it, what it says, is it durable, what is answered.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};

use super::auth::Access;
use super::limits::RateLimit;
use super::server::Limits;
use super::stamp::Stamp;
use crate::domain::device::Device;
use crate::domain::fact::{EventId, Site};
use crate::port::clock::Clock;
use crate::port::intake::Intake;
use crate::provider::grandstream::{self, Unreadable};
use crate::wire::envelope::{BodyForm, Envelope, Trace};

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Lines in the log for each reason to refuse a request.
const REFUSALS_TOLD_PER_SECOND: u32 = 20;
/// How long a phone is asked to wait; most never come back.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// What the ingress needs to answer a request.
pub struct Ingress {
    /// Whose phones they are unless their network says otherwise.
    pub site: Site,
    /// Replaced as a whole when the configuration is read again.
    pub access: RwLock<Access>,
    pub intake: Arc<dyn Intake>,
    pub clock: Arc<dyn Clock>,
    pub stamp: Stamp,
    pub limits: Limits,
    per_device: Mutex<RateLimit<Device>>,
    strangers: Mutex<RateLimit<IpAddr>>,
    told: Mutex<RateLimit<&'static str>>,
}

/// Why a request is answered with anything but 200. The name is the code of the answer and the
/// label of the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Method,
    NotFound,
    /// Answered like a path that is none: a stranger learns nothing.
    Stranger(&'static str),
    TooManyParameters,
    Nul,
    BadBody,
    BodyTooLarge,
    NoDevice,
    TooManyRequests,
    NotDurable,
    Timeout,
}

impl Refusal {
    fn answer(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Refusal::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "send events with GET or POST",
            ),
            // One answer for a wrong path, a wrong token and a wrong network: a stranger learns
            // nothing.
            Refusal::NotFound | Refusal::Stranger(_) => (
                StatusCode::NOT_FOUND,
                "not_found",
                "no such event, or not for you",
            ),
            Refusal::TooManyParameters => (
                StatusCode::BAD_REQUEST,
                "too_many_parameters",
                "more than 64 parameters",
            ),
            Refusal::Nul => (
                StatusCode::BAD_REQUEST,
                "nul_in_parameter",
                "a parameter contains a NUL",
            ),
            Refusal::BadBody => (
                StatusCode::BAD_REQUEST,
                "bad_body",
                "the body cannot be read",
            ),
            Refusal::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "the body is too large",
            ),
            Refusal::NoDevice => (
                StatusCode::BAD_REQUEST,
                "no_device",
                "neither `mac` nor `local` names a phone",
            ),
            Refusal::TooManyRequests => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "too many requests",
            ),
            Refusal::NotDurable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "not_durable",
                "the event could not be kept",
            ),
            Refusal::Timeout => (
                StatusCode::SERVICE_UNAVAILABLE,
                "timeout",
                "the event could not be kept in time",
            ),
        }
    }
}

impl Ingress {
    #[must_use]
    pub fn new(
        site: Site,
        access: Access,
        intake: Arc<dyn Intake>,
        clock: Arc<dyn Clock>,
        stamp: Stamp,
        limits: Limits,
    ) -> Ingress {
        let per_device = Mutex::new(RateLimit::new(
            limits.per_device_per_second,
            limits.per_device_burst,
        ));
        let strangers = Mutex::new(RateLimit::new(
            limits.strangers_per_second,
            limits.strangers_per_second,
        ));
        let told = Mutex::new(RateLimit::new(
            REFUSALS_TOLD_PER_SECOND,
            REFUSALS_TOLD_PER_SECOND,
        ));
        Ingress {
            site,
            access: RwLock::new(access),
            intake,
            clock,
            stamp,
            limits,
            per_device,
            strangers,
            told,
        }
    }

    /// Answers one request. Every refusal is counted and told once; numbers and tokens never appear
    /// in what is told.
    pub(super) async fn answer(
        self: Arc<Self>,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let from = self.origin(peer, &request);
        let patience = Duration::from_millis(self.limits.request_timeout_ms);
        let ingress = Arc::clone(&self);
        // On its own: a phone that does not wait for the answer has said what it had to say.
        let accepted = tokio::spawn(async move {
            tokio::time::timeout(patience, ingress.accept(from, request)).await
        });
        let answered = match accepted.await {
            Ok(in_time) => in_time.unwrap_or(Err(Refusal::Timeout)),
            Err(_) => Err(Refusal::NotDurable),
        };
        match answered {
            Ok(id) => json(
                StatusCode::OK,
                &serde_json::json!({ "status": "ok", "event_id": id.to_string() }),
            ),
            Err(refusal) => {
                let (status, code, message) = refusal.answer();
                let reason = if let Refusal::Stranger(why) = refusal {
                    why
                } else {
                    code
                };
                metrics::counter!("cordboard_ingress_refused_total", "reason" => reason)
                    .increment(1);
                // Each is counted; in a flood the log says enough about some.
                if self
                    .told
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .admit(reason, self.clock.now())
                {
                    tracing::warn!(%from, reason, "request refused");
                }
                let mut response = json(
                    status,
                    &serde_json::json!({ "status": "error", "code": code, "message": message }),
                );
                if matches!(
                    status,
                    StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
                ) {
                    response
                        .headers_mut()
                        .insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
                }
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    response
                        .headers_mut()
                        .insert(ALLOW, HeaderValue::from_static("GET, POST"));
                }
                response
            }
        }
    }

    async fn accept(&self, from: IpAddr, request: Request<Incoming>) -> Result<EventId, Refusal> {
        if !matches!(*request.method(), Method::GET | Method::POST) {
            return Err(Refusal::Method);
        }
        let target = request
            .uri()
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned();
        let form = form_of(&request);
        let trace = request
            .headers()
            .get("traceparent")
            .and_then(|value| Trace::parse(value.to_str().ok()?));
        let body = self.read_body(request, form).await?;
        let read = grandstream::Request::read(&target, form.body(&body)).map_err(refusal_of);
        let device = read
            .as_ref()
            .ok()
            .and_then(|request| request.report.device());
        let token = read.as_ref().ok().and_then(|request| request.token.clone());
        self.admit(from, token.as_deref(), device.as_ref())?;
        let oddities: Vec<&'static str> = read?.report.oddities().collect();
        let device = device.ok_or(Refusal::NoDevice)?;
        if !self
            .per_device
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(device, self.clock.now())
        {
            return Err(Refusal::TooManyRequests);
        }
        let id = self
            .keep(
                from,
                &grandstream::without_token(&target),
                &body,
                form,
                trace,
            )
            .await?;
        for oddity in oddities {
            metrics::counter!("cordboard_ingress_odd_total", "what" => oddity).increment(1);
        }
        Ok(id)
    }

    /// Where the request came from, with what proxies in front of this listener say.
    fn origin(&self, peer: IpAddr, request: &Request<Incoming>) -> IpAddr {
        let access = self.access.read().unwrap_or_else(PoisonError::into_inner);
        if !access.is_proxy(peer) {
            return peer.to_canonical();
        }
        let named = request
            .headers()
            .get_all(FORWARDED_FOR)
            .iter()
            .filter_map(|value| value.to_str().ok());
        access.origin(peer, &named.collect::<Vec<_>>().join(","))
    }

    /// Whether connections of this address carry the requests of many.
    pub(super) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.access
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_proxy(peer)
    }

    /// Network and token. A stranger who tries many tokens is slowed down by address.
    fn admit(
        &self,
        from: IpAddr,
        token: Option<&str>,
        device: Option<&Device>,
    ) -> Result<(), Refusal> {
        let access = self.access.read().unwrap_or_else(PoisonError::into_inner);
        let why = match device {
            _ if !access.allows_network(from) => "strange_network",
            Some(device) if access.allows(token, device) => return Ok(()),
            Some(_) => "wrong_token",
            None if access.keys.is_empty() => return Ok(()),
            // Whose token it might be nobody knows.
            None => "unreadable_stranger",
        };
        let patient = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(from, self.clock.now());
        Err(if patient {
            Refusal::Stranger(why)
        } else {
            Refusal::TooManyRequests
        })
    }

    async fn read_body(
        &self,
        request: Request<Incoming>,
        form: BodyForm,
    ) -> Result<String, Refusal> {
        if form == BodyForm::None {
            return Ok(String::new());
        }
        let body = Limited::new(request.into_body(), self.limits.body_bytes);
        let bytes = body.collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Refusal::BodyTooLarge
            } else {
                Refusal::BadBody
            }
        })?;
        Ok(String::from_utf8_lossy(&bytes.to_bytes()).into_owned())
    }

    async fn keep(
        &self,
        from: IpAddr,
        target: &str,
        body: &str,
        form: BodyForm,
        trace: Option<Trace>,
    ) -> Result<EventId, Refusal> {
        let site = self
            .access
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .site_of(from)
            .unwrap_or(&self.site)
            .clone();
        let receipt = self.stamp.receive();
        let mut envelope = Envelope::new(
            receipt.id,
            receipt.at,
            &site,
            Some(from),
            target,
            body,
            form,
        );
        envelope.trace = trace;
        // Why it is not, the journal says once for all.
        self.intake
            .accept(envelope.encode())
            .await
            .map(|()| receipt.id)
            .map_err(|_| Refusal::NotDurable)
    }
}

fn form_of(request: &Request<Incoming>) -> BodyForm {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    match (
        request.method() == Method::POST,
        content_type
            .split(';')
            .next()
            .unwrap_or("")
            .trim()
            .to_ascii_lowercase()
            .as_str(),
    ) {
        (true, "application/json") => BodyForm::Json,
        (true, "application/x-www-form-urlencoded") => BodyForm::Form,
        _ => BodyForm::None,
    }
}

fn refusal_of(error: Unreadable) -> Refusal {
    match error {
        Unreadable::NotAnEventPath | Unreadable::UnknownEvent => Refusal::NotFound,
        Unreadable::TooManyParameters => Refusal::TooManyParameters,
        Unreadable::Nul => Refusal::Nul,
        Unreadable::BadJson => Refusal::BadBody,
    }
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
