//! One request of a phone: it is authenticated, read, made durable and answered.
//!
//! Guarantees: a 200 is sent only after the event is durable. A request that was read is finished
//! even when its connection is gone. A sender without authorization gets one and the same answer for a
//! wrong path, a wrong token and a wrong network.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::{Mutex, RwLock};
use tokio::time::timeout;
use tracing::Instrument;

use super::auth::Access;
use super::content::Content;
use super::limits::Limits;
use super::rate_limit::RateLimit;
use super::stamp::Stamp;
use crate::domain::device::Device;
use crate::domain::fact::{EventId, Site};
use crate::domain::time::At;
use crate::net::ClientAddress;
use crate::port::clock::Clock;
use crate::port::intake::Intake;
use crate::provider::grandstream::{self, Unreadable};
use crate::wire::envelope::{BodyForm, Envelope, MESSAGE_BYTES_MAX, Trace, id_at_place};

/// Log lines per second for each reason to refuse a request. The metric counts every refusal.
const REFUSAL_LOG_LINES_PER_SECOND: u32 = 20;
/// The wait that a phone is asked for; most never come back.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// A header of webhooks, as this program and others send them, and of no phone.
const WEBHOOK: &str = "webhook-signature";

/// The state that requests share: access rules, limits, the clock and the intake.
pub struct Ingress {
    /// The site of phones whose network belongs to no other site.
    pub site: Site,
    /// Replaced as a whole when the configuration is read again.
    pub access: RwLock<Access>,
    pub intake: Arc<dyn Intake>,
    pub clock: Arc<dyn Clock>,
    pub stamp: Stamp,
    pub limits: Limits,
    per_device: Mutex<RateLimit<Device>>,
    /// Unauthorized requests by address: guesses at tokens are slowed down.
    unauthorized: Mutex<RateLimit<IpAddr>>,
    /// Log lines by reason.
    refusal_log: Mutex<RateLimit<&'static str>>,
}

/// The reason for any answer but 200. Its code is also the label of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Method,
    NotFound,
    /// Answered like an unknown path, so that the answer reveals nothing. Only the metric and the
    /// log have this reason.
    Unauthorized(&'static str),
    TooManyParameters,
    BadBody,
    BodyTooLarge,
    EventTooLarge,
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
            // One answer for a wrong path, a wrong token and a wrong network.
            Refusal::NotFound | Refusal::Unauthorized(_) => (
                StatusCode::NOT_FOUND,
                "not_found",
                "unknown event path, or access denied",
            ),
            Refusal::TooManyParameters => (
                StatusCode::BAD_REQUEST,
                "too_many_parameters",
                "more than 64 parameters",
            ),
            Refusal::BadBody => (
                StatusCode::BAD_REQUEST,
                "bad_body",
                "the body cannot be read",
            ),
            Refusal::EventTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "event_too_large",
                "an event has at most 16 KiB",
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
                "the event could not be stored",
            ),
            Refusal::Timeout => (
                StatusCode::SERVICE_UNAVAILABLE,
                "timeout",
                "the event could not be stored in time",
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
        let per_device = RateLimit::new(limits.per_device_per_second, limits.per_device_burst);
        let unauthorized = RateLimit::new(limits.strangers_per_second, limits.strangers_per_second);
        let refusal_log =
            RateLimit::new(REFUSAL_LOG_LINES_PER_SECOND, REFUSAL_LOG_LINES_PER_SECOND);

        Ingress {
            site,
            access: RwLock::new(access),
            intake,
            clock,
            stamp,
            limits,
            per_device: Mutex::new(per_device),
            unauthorized: Mutex::new(unauthorized),
            refusal_log: Mutex::new(refusal_log),
        }
    }

    /// Answers one request. Every refusal is counted, and logged up to a rate; neither numbers nor
    /// tokens appear in the log.
    pub(super) async fn answer(
        self: Arc<Self>,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let from = self.origin(peer, &request);
        let time_max = Duration::from_millis(self.limits.request_timeout_ms);
        let ingress = Arc::clone(&self);

        // A task of its own finishes the request of a phone that does not wait for the answer.
        let accept = async move { timeout(time_max, ingress.accept(from, request)).await };
        let accepted = tokio::spawn(accept.instrument(tracing::debug_span!("request")));
        let result = match accepted.await {
            Ok(in_time) => in_time.unwrap_or(Err(Refusal::Timeout)),
            Err(_) => Err(Refusal::NotDurable),
        };

        match result {
            Ok(id) => json(
                StatusCode::OK,
                &serde_json::json!({ "status": "ok", "event_id": id.to_string() }),
            ),
            Err(refusal) => self.refuse(from, refusal),
        }
    }

    fn refuse(&self, from: IpAddr, refusal: Refusal) -> Response<Full<Bytes>> {
        let (status, code, message) = refusal.answer();
        let reason = match refusal {
            Refusal::Unauthorized(reason) => reason,
            _ => code,
        };

        metrics::counter!("cordboard_ingress_refused_total", "reason" => reason).increment(1);
        if admit(&self.refusal_log, reason, self.clock.now()) {
            tracing::warn!(%from, reason, "request refused");
        }

        let mut response = json(
            status,
            &serde_json::json!({ "status": "error", "code": code, "message": message }),
        );
        let headers = response.headers_mut();
        match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
            }
            _ => {}
        }

        response
    }

    async fn accept(&self, from: IpAddr, request: Request<Incoming>) -> Result<EventId, Refusal> {
        if !matches!(*request.method(), Method::GET | Method::POST) {
            return Err(Refusal::Method);
        }
        // An account that may add receivers must not report calls by it.
        if request.headers().contains_key(WEBHOOK) {
            return Err(Refusal::Unauthorized("webhook"));
        }

        let target = request
            .uri()
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned();
        let content = Content::of(&request);
        let trace = request
            .headers()
            .get("traceparent")
            .and_then(|value| Trace::parse(value.to_str().ok()?));
        let (body, form) = self.read_body(request, content).await?;

        // Authorization comes first: a client without it must not learn why its request is
        // unreadable.
        let read = grandstream::Request::read(&target, form.body(&body)).map_err(refusal_of);
        let readable = read.as_ref().ok();
        let device = readable.and_then(|request| request.report.device());
        let token = readable.and_then(|request| request.token.as_deref());
        self.authorize(from, token, device.as_ref())?;

        let oddities: Vec<&'static str> = read?.report.oddities().collect();
        let device = device.ok_or(Refusal::NoDevice)?;
        if !admit(&self.per_device, device, self.clock.now()) {
            return Err(Refusal::TooManyRequests);
        }

        let target = grandstream::without_token(&target);
        let id = self.make_durable(from, &target, &body, form, trace).await?;
        for oddity in oddities {
            metrics::counter!("cordboard_ingress_odd_total", "what" => oddity).increment(1);
        }

        Ok(id)
    }

    /// The address of the sender, as the trusted proxies in front of this listener report it.
    fn origin(&self, peer: IpAddr, request: &Request<Incoming>) -> IpAddr {
        let access = self.access.read();

        ClientAddress::of(&access.trusted_proxies, peer, request.headers()).0
    }

    /// Whether connections of this address carry the requests of many phones.
    pub(super) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.access.read().is_proxy(peer)
    }

    /// Checks network and token. Unauthorized requests are limited by address.
    fn authorize(
        &self,
        from: IpAddr,
        token: Option<&str>,
        device: Option<&Device>,
    ) -> Result<(), Refusal> {
        let access = self.access.read();
        let reason = match device {
            _ if !access.allows_network(from) => "strange_network",
            Some(device) if access.allows(token, device) => return Ok(()),
            Some(_) => "wrong_token",
            None if access.keys.is_empty() => return Ok(()),
            // A token is checked against a device, and this request names none.
            None => "unreadable_stranger",
        };

        if admit(&self.unauthorized, from, self.clock.now()) {
            Err(Refusal::Unauthorized(reason))
        } else {
            Err(Refusal::TooManyRequests)
        }
    }

    /// Reads the body, and decides how its parameters are written. A body that breaks off, stalls
    /// or is framed wrongly counts as none: the phone does not repeat the event, and its target may
    /// say enough.
    async fn read_body(
        &self,
        request: Request<Incoming>,
        content: Content,
    ) -> Result<(String, BodyForm), Refusal> {
        if content == Content::Ignored {
            return Ok((String::new(), BodyForm::None));
        }

        // The other half of the time is for the event.
        let time_max = Duration::from_millis(self.limits.request_timeout_ms / 2);
        let body = Limited::new(request.into_body(), self.limits.body_bytes);
        let bytes = match timeout(time_max, body.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Refusal::BodyTooLarge),
            Ok(Err(_)) | Err(_) => {
                metrics::counter!("cordboard_ingress_odd_total", "what" => "broken_body")
                    .increment(1);
                return Ok((String::new(), BodyForm::None));
            }
        };
        let body = String::from_utf8_lossy(&bytes).into_owned();
        let form = content.form(&body);

        Ok((body, form))
    }

    /// Stamps the request and returns when the intake has made it durable.
    async fn make_durable(
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
            .site_of(from)
            .unwrap_or(&self.site)
            .clone();

        // Held until the message is durable: until then every tick is earlier.
        let receipt = self.stamp.receive();
        let event_id = id_at_place(receipt.id, &site, receipt.at);
        let mut envelope =
            Envelope::new(event_id, receipt.at, &site, Some(from), target, body, form);
        envelope.trace = trace;
        envelope.ingress = self.stamp.ingress.to_uuid();

        tracing::debug!(
            station = "request",
            %event_id,
            site = site.as_str(),
            "request received"
        );

        let message = envelope.encode();
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(Refusal::EventTooLarge);
        }

        // The journal logs its own failure once; here it would be logged for every request.
        let span = tracing::debug_span!("append", %event_id);
        self.intake
            .accept(message)
            .instrument(span)
            .await
            .map_err(|_| Refusal::NotDurable)?;

        tracing::debug!(
            station = "append",
            %event_id,
            site = site.as_str(),
            "event durable"
        );
        Ok(event_id)
    }
}

fn admit<Name: Eq + Hash>(limit: &Mutex<RateLimit<Name>>, name: Name, now: At) -> bool {
    limit.lock().admit(name, now)
}

fn refusal_of(error: Unreadable) -> Refusal {
    match error {
        Unreadable::NotAnEventPath | Unreadable::UnknownEvent => Refusal::NotFound,
        Unreadable::TooManyParameters => Refusal::TooManyParameters,
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
