//! Query parameters of the API: instants, names, limits and page cursors.

use axum::extract::Query as QueryString;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use utoipa::IntoParams;
use utoipa::openapi::{ObjectBuilder, Type};

use crate::domain::fact::SITE_CHARS_MAX;
use crate::domain::time::At;
use crate::port::query::CallFilter;
use crate::wire::instant;
use crate::wire::names::{self, DIRECTIONS, OUTCOMES, STATUSES, one_of, schemas};

/// Calls of a page without the parameter `limit`.
const PAGE_CALLS: u32 = 50;
/// Live calls that are read at once, where a client does not say how many it wants.
pub(super) const LIVE_CALLS_MAX: u32 = 1_000;
/// The largest `limit` of any list.
pub(super) const LIMIT_MAX: u32 = 200;

const FORMATS: [&str; 2] = ["json", "csv"];

/// No number, name or reference that is looked for is longer.
const TEXT_CHARS_MAX: usize = 1_000;
/// Texts without control characters, as a pattern of the description.
const NO_CONTROLS: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// A cursor: an instant in microseconds, and the id of a call.
const CURSOR: &str = r"^-?[0-9]{1,18}\.[^\u0000-\u001f\u007f-\u009f]*$";

schemas! {
    Format = one_of(&FORMATS), "The form of a list.";
    Limit = whole_number().minimum(Some(1)).maximum(Some(LIMIT_MAX)), "The length of a list.";
    SiteName = site_name(), "The name of a site: printable characters.";
    PlainText = text().max_length(Some(TEXT_CHARS_MAX)).pattern(Some(NO_CONTROLS)),
        "A text without control characters.";
    Segment = text().min_length(Some(1)).pattern(Some(NO_CONTROLS)), "A segment of a path.";
    Cursor = text().pattern(Some(CURSOR)), "The position of a page.";
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn whole_number() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer)
}

/// Characters that are not printable, as a part of a pattern.
const INVISIBLE: &str = r"\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb";

/// The schema of printable characters.
pub(super) fn printable_text() -> ObjectBuilder {
    text().pattern(Some(format!("^[^{INVISIBLE}]*$")))
}

fn site_name() -> ObjectBuilder {
    let inner = format!("[^{INVISIBLE}]");
    let outer = format!(r"[^\s{INVISIBLE}]");

    text()
        .min_length(Some(1))
        .max_length(Some(SITE_CHARS_MAX))
        .pattern(Some(format!("^{outer}({inner}*{outer})?$")))
}

/// The query of a path, and the names of its parameters.
pub(super) trait Parameters {
    const NAMES: &'static str;
}

/// Reads a query.
///
/// # Errors
/// The message for the client. It names the parameters of the path, and quotes no parser.
pub(super) fn query<P: Parameters>(
    parameters: Result<QueryString<P>, QueryRejection>,
) -> Result<P, String> {
    parameters
        .map(|QueryString(parameters)| parameters)
        .map_err(|_| {
            format!(
                "a parameter is unknown, repeated or no number where it must be one; this path \
                 takes {}",
                P::NAMES
            )
        })
}

/// The message for a client whose body cannot be read.
pub(super) fn bad_body(rejection: &JsonRejection, fields: &str) -> String {
    match rejection {
        JsonRejection::MissingJsonContentType(_) => {
            "the body needs `Content-Type: application/json`".to_owned()
        }
        JsonRejection::JsonSyntaxError(_) => "the body is not JSON".to_owned(),
        JsonRejection::JsonDataError(_) => {
            format!("the body must be a JSON object with {fields}")
        }
        _ => "the body is too large, or broke off".to_owned(),
    }
}

/// The query of something that one site has.
#[derive(Debug, Default, serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SiteParameters {
    /// The PBX. An account of one site needs no name of a site.
    #[param(inline, value_type = Option<SiteName>)]
    pub site: Option<String>,
}

impl Parameters for SiteParameters {
    const NAMES: &'static str = "`site`";
}

/// The query of a list of one site, without pages.
#[derive(Debug, Default, serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SiteListParameters {
    /// The PBX. An account of one site needs no name of a site.
    #[param(inline, value_type = Option<SiteName>)]
    pub site: Option<String>,
    /// The length of the list.
    #[param(inline, value_type = Option<Limit>)]
    pub limit: Option<u32>,
}

impl Parameters for SiteListParameters {
    const NAMES: &'static str = "`site` and `limit`";
}

/// The parameter `limit`, which means the same on every list.
pub(super) fn checked_limit(limit: Option<u32>, default: u32) -> Result<u32, String> {
    match limit {
        None => Ok(default),
        Some(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
        Some(_) => Err(format!("`limit` must be between 1 and {LIMIT_MAX}")),
    }
}

/// The query of `/api/v1/calls`.
#[derive(Debug, Default, serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CallsParameters {
    /// The PBX. An account of one site needs no name of a site.
    #[param(inline, value_type = Option<SiteName>)]
    site: Option<String>,
    /// Calls that began at or after it.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Calls that began before it.
    #[param(format = DateTime)]
    until: Option<String>,
    /// The number of a party, as sent or in E.164.
    #[param(inline, value_type = Option<PlainText>)]
    number: Option<String>,
    /// A part of a number, of the caller's name, or of the name of a contact, its company or a person
    /// of the directory who has a part in the call; or the extension that answered.
    #[param(inline, value_type = Option<PlainText>)]
    text: Option<String>,
    /// The extension of a participant.
    #[param(inline, value_type = Option<PlainText>)]
    extension: Option<String>,
    /// The call as one of its phones names it.
    #[param(inline, value_type = Option<PlainText>)]
    call_ref: Option<String>,
    #[param(inline, value_type = Option<names::Direction>)]
    direction: Option<String>,
    #[param(inline, value_type = Option<names::Outcome>)]
    outcome: Option<String>,
    #[param(inline, value_type = Option<names::Status>)]
    status: Option<String>,
    /// `next_cursor` of the page before.
    #[param(inline, value_type = Option<Cursor>)]
    cursor: Option<String>,
    /// Calls of a page; 50 if absent.
    #[param(inline, value_type = Option<Limit>)]
    limit: Option<u32>,
    /// `csv`: all calls of the filter, at most 10,000, as a file. The header `Accept: text/csv`
    /// has the same effect.
    #[param(inline, value_type = Option<Format>)]
    format: Option<String>,
}

/// The query of `/api/v1/stats`.
#[derive(Debug, Default, serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsParameters {
    /// The PBX. An account of one site needs no name of a site.
    #[param(inline, value_type = Option<SiteName>)]
    site: Option<String>,
    /// Minutes that begin at or after it: the first hour may hold only a part of its calls.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Minutes that begin before it.
    #[param(format = DateTime)]
    until: Option<String>,
}

impl Parameters for StatsParameters {
    const NAMES: &'static str = "`site`, `since` and `until`";
}

impl StatsParameters {
    /// The site, and the period in microseconds; unbounded where a parameter is missing.
    pub(super) fn into_filter(self) -> Result<(Option<String>, i64, i64), String> {
        let since = parse_instant("since", self.since.as_deref())?.unwrap_or(i64::MIN);
        let until = parse_instant("until", self.until.as_deref())?.unwrap_or(i64::MAX);

        Ok((self.site, since, until))
    }
}

impl Parameters for CallsParameters {
    const NAMES: &'static str = "`site`, `since`, `until`, `number`, `text`, `extension`, \
                                 `call_ref`, `direction`, `outcome`, `status`, `cursor`, `limit` \
                                 and `format`";
}

impl CallsParameters {
    pub(super) fn wants_csv(&self) -> bool {
        self.format.as_deref() == Some("csv")
    }

    pub(super) fn into_filter(self) -> Result<CallFilter, String> {
        let CallsParameters {
            site,
            since,
            until,
            number,
            text,
            extension,
            call_ref,
            direction,
            outcome,
            status,
            cursor,
            limit,
            format,
        } = self;

        let limit = checked_limit(limit, PAGE_CALLS)?;
        for (parameter, value) in [
            ("site", &site),
            ("number", &number),
            ("text", &text),
            ("extension", &extension),
            ("call_ref", &call_ref),
        ] {
            require_plain(parameter, value.as_deref())?;
        }
        for (parameter, value, allowed) in [
            ("direction", &direction, &DIRECTIONS[..]),
            ("outcome", &outcome, &OUTCOMES),
            ("status", &status, &STATUSES),
            ("format", &format, &FORMATS),
        ] {
            if let Some(value) = value {
                require_one_of(parameter, value, allowed)?;
            }
        }

        let after = cursor.as_deref().map(parse_cursor).transpose()?;
        let since = parse_instant("since", since.as_deref())?;
        let until = parse_instant("until", until.as_deref())?;

        Ok(CallFilter {
            site,
            since,
            until,
            number,
            text,
            named: Vec::new(),
            extension,
            call_ref,
            direction,
            outcome,
            status,
            live: false,
            after,
            limit,
        })
    }
}

/// Rejects control characters.
pub(super) fn require_plain(name: &str, value: Option<&str>) -> Result<(), String> {
    if value.is_some_and(|text| text.contains(char::is_control)) {
        Err(format!("`{name}` must not contain control characters"))
    } else if value.is_some_and(|text| text.chars().count() > TEXT_CHARS_MAX) {
        Err(format!(
            "`{name}` must have at most {TEXT_CHARS_MAX} characters"
        ))
    } else {
        Ok(())
    }
}

/// Rejects a value that is not among the allowed ones.
pub(super) fn require_one_of(name: &str, value: &str, allowed: &[&str]) -> Result<(), String> {
    if allowed.contains(&value) {
        Ok(())
    } else {
        Err(format!("`{name}` must be one of {}", allowed.join(", ")))
    }
}

pub(super) fn parse_instant(name: &str, text: Option<&str>) -> Result<Option<i64>, String> {
    text.map(|text| {
        instant::parse(text).map(|At(at)| at).map_err(|_| {
            format!("`{name}` is not an RFC 3339 instant, such as 2026-11-20T18:00:00Z")
        })
    })
    .transpose()
}

/// The cursor of the page after this call.
pub(super) fn cursor(started_at: i64, id: &str) -> String {
    format!("{started_at}.{id}")
}

fn parse_cursor(text: &str) -> Result<(i64, String), String> {
    text.split_once('.')
        .and_then(|(started_at, id)| Some((started_at.parse().ok()?, id.to_owned())))
        .ok_or_else(|| "`cursor` is not the `next_cursor` of a page".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(parameters: CallsParameters) -> String {
        parameters.into_filter().err().unwrap()
    }

    #[test]
    fn a_cursor_survives_the_round_trip() {
        assert_eq!(parse_cursor(&cursor(-5, "a-b")), Ok((-5, "a-b".to_owned())));
    }

    #[test]
    fn an_invalid_parameter_is_named() {
        let no_limit = CallsParameters {
            limit: Some(0),
            ..CallsParameters::default()
        };
        assert!(error(no_limit).contains("limit"));

        let no_instant = CallsParameters {
            since: Some("soon".into()),
            ..CallsParameters::default()
        };
        assert!(error(no_instant).contains("since"));

        let no_cursor = CallsParameters {
            cursor: Some("x".into()),
            ..CallsParameters::default()
        };
        assert!(error(no_cursor).contains("cursor"));
    }

    #[test]
    fn only_outcomes_of_stored_calls_are_accepted() {
        let with_outcome = |outcome: &str| CallsParameters {
            outcome: Some(outcome.into()),
            ..CallsParameters::default()
        };

        assert!(error(with_outcome("rejected")).contains("no_answer"));
        assert!(with_outcome("no_answer").into_filter().is_ok());
    }
}
