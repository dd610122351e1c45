//! The request of a phone: its event, its token and its parameters.
//!
//! Parameters are accepted in the query, in the path (`/gs/cti/incoming/mac=..&local=..`), in a
//! form and in JSON, as administrators provision them. Phones substitute variables unescaped, so a
//! `+` is a plus and never a blank, and a broken escape is text.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::json::json_object;
use super::names::kind_of;
use super::report::Report;
use crate::domain::fact::Kind;

/// The path of all events.
const PREFIX: &str = "/gs/cti/";
/// Parameters of one request; a phone sends at most a dozen.
const PARAMETERS_MAX: usize = 64;

/// The content of a request that is not authorized yet.
#[derive(Clone, Debug)]
pub struct Request {
    pub kind: Kind,
    /// The path segment before the event, if there is one.
    pub token: Option<String>,
    pub report: Report,
}

/// The reason why a request is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("no such path; events are sent to /gs/cti/<event> or /gs/cti/<token>/<event>")]
    NotAnEventPath,
    #[error("no such event")]
    UnknownEvent,
    #[error("more than {PARAMETERS_MAX} parameters")]
    TooManyParameters,
    #[error("the body is no JSON object")]
    BadJson,
}

/// The body of a request, by its content type.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    None,
    Form(&'a [u8]),
    Json(&'a [u8]),
}

impl Request {
    /// Reads the target of a request (path and query, as in the request line) and its body.
    /// Parameters of the path come first, then those of the query, then those of the body; the
    /// first occurrence wins.
    ///
    /// # Errors
    /// [`Unreadable`], with the reason why the request is no event.
    pub fn read(target: &str, body: Body<'_>) -> Result<Request, Unreadable> {
        let path = EventPath::read(target)?;
        let mut reader = Reader {
            report: Report::default(),
            parameters: 0,
        };
        reader.add_pairs(path.parameters.as_bytes())?;
        reader.add_pairs(path.query.as_bytes())?;
        match body {
            Body::None => {}
            Body::Form(bytes) => reader.add_pairs(bytes)?,
            Body::Json(bytes) => reader.add_json(bytes)?,
        }

        Ok(Request {
            kind: path.kind,
            token: path.token.map(str::to_owned),
            report: reader.report,
        })
    }

    /// The event of a target, without its parameters.
    #[must_use]
    pub fn event(target: &str) -> Option<Kind> {
        EventPath::read(target).ok().map(|path| path.kind)
    }
}

/// The sections of a target.
struct EventPath<'a> {
    kind: Kind,
    token: Option<&'a str>,
    parameters: &'a str,
    query: &'a str,
}

impl<'a> EventPath<'a> {
    fn read(target: &'a str) -> Result<EventPath<'a>, Unreadable> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let rest = path
            .strip_prefix(PREFIX)
            .ok_or(Unreadable::NotAnEventPath)?;

        let (first, after_first) = rest.split_once('/').unwrap_or((rest, ""));
        if let Some(kind) = kind_of_segment(first) {
            return Ok(EventPath {
                kind,
                token: None,
                parameters: after_first,
                query,
            });
        }

        let (event, parameters) = after_first.split_once('/').unwrap_or((after_first, ""));
        let kind = kind_of_segment(event).ok_or(Unreadable::UnknownEvent)?;

        Ok(EventPath {
            kind,
            token: Some(first),
            parameters,
            query,
        })
    }
}

/// The kind of an event as a segment of a path names it: the ingress escapes a blank in it.
fn kind_of_segment(segment: &str) -> Option<Kind> {
    kind_of(&unescape(segment.as_bytes()))
}

/// The target as it may be stored: without its token, which is a secret and not needed any more
/// after the check.
#[must_use]
pub fn without_token(target: &str) -> String {
    let Some(rest) = target.strip_prefix(PREFIX) else {
        return target.to_owned();
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());

    match rest[end..].strip_prefix('/') {
        Some(after) if kind_of_segment(&rest[..end]).is_none() => format!("{PREFIX}{after}"),
        _ => target.to_owned(),
    }
}

/// Collects the parameters of one request, within their limits.
struct Reader {
    report: Report,
    /// The number of parameters so far, ignored ones included.
    parameters: usize,
}

impl Reader {
    /// Adds `key=value&key=value`. A piece without `=` is the rest of a name that contained an `&`,
    /// and is ignored.
    fn add_pairs(&mut self, text: &[u8]) -> Result<(), Unreadable> {
        let trimmed = text.strip_suffix(b"/").unwrap_or(text);
        for piece in trimmed
            .split(|byte| *byte == b'&')
            .filter(|piece| !piece.is_empty())
        {
            // A template that was copied out of a provisioning file in XML has `&amp;` between its
            // parameters.
            let piece = piece.strip_prefix(b"amp;").unwrap_or(piece);
            let equals = piece.iter().position(|byte| *byte == b'=');
            let Some(equals) = equals else { continue };
            self.add(&unescape(&piece[..equals]), &unescape(&piece[equals + 1..]))?;
        }

        Ok(())
    }

    fn add_json(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let object = json_object(bytes).ok_or(Unreadable::BadJson)?;

        for (key, value) in &object {
            match value {
                serde_json::Value::String(text) => self.add(key, text)?,
                serde_json::Value::Number(number) => self.add(key, &number.to_string())?,
                serde_json::Value::Bool(flag) => self.add(key, &flag.to_string())?,
                _ => {}
            }
        }

        Ok(())
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), Unreadable> {
        self.parameters += 1;
        if self.parameters > PARAMETERS_MAX {
            return Err(Unreadable::TooManyParameters);
        }

        // No text of the database holds a NUL; other invisible characters vanish field by field.
        if value.contains('\0') {
            self.report.add_parameter(key, &value.replace('\0', ""));
        } else {
            self.report.add_parameter(key, value);
        }
        Ok(())
    }
}

/// Decodes percent escapes. A `+` stays a plus, a broken escape stays text, bytes that are no UTF-8
/// become replacement characters.
fn unescape(bytes: &[u8]) -> Cow<'_, str> {
    percent_decode(bytes).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fact::{EventId, Fact, Site};
    use crate::domain::time::At;

    fn fact(target: &str) -> Fact {
        let request = Request::read(target, Body::None).unwrap();

        request
            .report
            .into_fact(EventId(1), At(0), Site::default(), request.kind, None)
            .unwrap()
    }

    #[test]
    fn a_request_without_its_token_states_the_same_fact() {
        for (target, stored) in [
            (
                "/gs/cti/incoming?mac=1&n=/gs/",
                "/gs/cti/incoming?mac=1&n=/gs/",
            ),
            (
                "/gs/cti/secret/incoming?mac=1&n=/secret/",
                "/gs/cti/incoming?mac=1&n=/secret/",
            ),
            ("/gs/cti/gs/incoming?mac=1", "/gs/cti/incoming?mac=1"),
            (
                "/gs/cti/cti/incoming/mac=1&local=2",
                "/gs/cti/incoming/mac=1&local=2",
            ),
            (
                "/gs/cti/incoming/mac=1&local=2",
                "/gs/cti/incoming/mac=1&local=2",
            ),
            ("/gs/cti/incoming/?mac=1", "/gs/cti/incoming/?mac=1"),
            (
                "/gs/cti/blind%20transfer/mac=1",
                "/gs/cti/blind%20transfer/mac=1",
            ),
        ] {
            assert_eq!(without_token(target), stored);
            assert_eq!(format!("{:?}", fact(target)), format!("{:?}", fact(stored)));
        }
    }

    fn remote(target: &str) -> String {
        fact(target)
            .remote
            .map_or_else(String::new, |number| number.raw().to_owned())
    }

    #[test]
    fn the_example_of_the_guide_works_as_it_stands() {
        let fact = fact("/gs/cti/incoming?callId=12345&remote=03001234567&local=203&mac=AA:BB:CC");

        assert_eq!(
            (fact.kind, fact.device.to_string().as_str()),
            (Kind::Incoming, "aa:bb:cc")
        );
        assert_eq!(
            fact.call_ref
                .as_ref()
                .map(crate::domain::fact::CallRef::as_str),
            Some("12345")
        );
    }

    #[test]
    fn parameters_may_stand_in_the_path_with_and_without_a_token() {
        for target in [
            "/gs/cti/incoming/mac=000b82000001&local=203&remote=123",
            "/gs/cti/TOKEN/incoming/mac=000b82000001&local=203&remote=123",
        ] {
            assert_eq!(
                (
                    fact(target).device.to_string().as_str(),
                    remote(target).as_str()
                ),
                ("000b82000001", "123"),
                "{target}"
            );
        }

        let request = Request::read("/gs/cti/Blind%20Transfer?m=1", Body::None).unwrap();
        assert_eq!((request.kind, request.token), (Kind::BlindTransfer, None));
        let request = Request::read("/gs/cti/TOKEN/missed_call?m=1", Body::None).unwrap();
        assert_eq!(
            (request.token.as_deref(), request.kind),
            (Some("TOKEN"), Kind::Missed)
        );
    }

    #[test]
    fn a_plus_is_a_plus_and_a_broken_escape_is_text() {
        assert_eq!(remote("/gs/cti/incoming?mac=a&remote=+4930"), "+4930");
        assert_eq!(remote("/gs/cti/incoming?mac=a&remote=%2B4930"), "+4930");
        assert_eq!(
            fact("/gs/cti/incoming?mac=a&n=100%").remote_name.as_deref(),
            Some("100%")
        );
        assert_eq!(
            fact("/gs/cti/incoming?mac=a&n=%zz").remote_name.as_deref(),
            Some("%zz")
        );
    }

    #[test]
    fn only_whole_escapes_are_decoded() {
        for (sent, plain) in [
            (&b"plain"[..], "plain"),
            (b"%41%e4%BD%a0", "A\u{4f60}"),
            (b"%2541", "%41"),
            (b"%%41%4", "%A%4"),
            (b"%zz%4z%+1", "%zz%4z%+1"),
            (b"%", "%"),
            (b"%e4", "\u{fffd}"),
            (b"a+b", "a+b"),
        ] {
            assert_eq!(unescape(sent), plain);
        }
    }

    #[test]
    fn an_ampersand_in_a_name_costs_only_the_rest_of_the_name() {
        let fact = fact(
            "/gs/cti/incoming?callId=b7@h&remote=123&local=203&mac=000B82AABBCC\
             &display_remote=Tom%20&%20Jerry",
        );

        assert_eq!(
            (
                fact.remote_name.as_deref(),
                fact.local
                    .as_ref()
                    .map(crate::domain::device::Extension::as_str)
            ),
            (Some("Tom"), Some("203"))
        );
    }

    #[test]
    fn mistakes_of_templates_are_repaired() {
        let fact = fact(
            "/gs/cti/incoming?mac=000b82000001&amp;local=201&amp;remote=+49%0030&amp;n=B%00ob",
        );

        assert_eq!(fact.device.to_string(), "000b82000001");
        let local = fact
            .local
            .as_ref()
            .map(crate::domain::device::Extension::as_str);
        assert_eq!(local, Some("201"));
        let remote = fact.remote.map(|number| number.raw().to_owned());
        assert_eq!(remote.as_deref(), Some("+4930"));
        assert_eq!(fact.remote_name.as_deref(), Some("Bob"));
    }

    #[test]
    fn a_name_cannot_replace_earlier_parameters() {
        let fact = fact(
            "/gs/cti/incoming?mac=000b82000001&remote=123\
             &n=Bob&mac=000b82ffffff&callId=9&remote=456",
        );

        assert_eq!(
            (
                fact.device.to_string().as_str(),
                fact.remote.map(|n| n.raw().to_owned()).as_deref()
            ),
            ("000b82000001", Some("123"))
        );
    }

    #[test]
    fn a_request_that_is_no_event_has_its_reason() {
        let error = |target: &str| Request::read(target, Body::None).err();

        assert_eq!(error("/"), Some(Unreadable::NotAnEventPath));
        assert_eq!(
            error("/gs/cti/exploded?mac=1"),
            Some(Unreadable::UnknownEvent)
        );
        assert_eq!(
            error("/gs/cti/token/exploded?mac=1"),
            Some(Unreadable::UnknownEvent)
        );
        let many = "p=1&".repeat(65);
        assert_eq!(
            error(&format!("/gs/cti/incoming?{many}")),
            Some(Unreadable::TooManyParameters)
        );
    }

    #[test]
    fn forms_and_json_carry_parameters_too() {
        let read = |body| {
            let request = Request::read("/gs/cti/incoming", body).unwrap();
            request
                .report
                .into_fact(EventId(1), At(0), Site::default(), request.kind, None)
                .unwrap()
                .device
                .to_string()
        };

        assert_eq!(
            read(Body::Form(b"mac=00-0b-82-00-00-01&remote=1")),
            "000b82000001"
        );
        assert_eq!(
            read(Body::Json(br#"{"mac":"00:0B:82:00:00:01","remote":1}"#)),
            "000b82000001"
        );
        assert_eq!(
            Request::read("/gs/cti/incoming", Body::Json(b"[]")).err(),
            Some(Unreadable::BadJson)
        );
    }
}
