//! Query parameters of the API: instants, names, limits and page cursors.

use axum::extract::Query as QueryString;
use axum::extract::rejection::{JsonRejection, QueryRejection};

use crate::domain::time::At;
use crate::port::query::CallFilter;
use crate::wire::instant;

/// Calls of a page without the parameter `limit`.
const PAGE_CALLS: u32 = 50;
/// Live calls that are read at once, where a client does not say how many it wants.
pub(super) const LIVE_CALLS_MAX: u32 = 1_000;
/// The largest `limit` of any list.
pub(super) const LIMIT_MAX: u32 = 200;

// The names that stored calls can have. Another name is rejected: as a filter it would match no
// call, and the database would read the whole history to find none.
pub(super) const DIRECTIONS: [&str; 3] = ["inbound", "outbound", "internal"];
pub(super) const STATUSES: [&str; 7] = [
    "initiated",
    "ringing",
    "answered",
    "on_hold",
    "transferring",
    "completed",
    "failed",
];
const FORMATS: [&str; 2] = ["json", "csv"];
const OUTCOMES: [&str; 4] = ["answered", "missed", "no_answer", "lost"];

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
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SiteParameters {
    pub site: Option<String>,
}

impl Parameters for SiteParameters {
    const NAMES: &'static str = "`site`";
}

/// The query of a list of one site, without pages.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SiteListParameters {
    pub site: Option<String>,
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
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallsParameters {
    site: Option<String>,
    since: Option<String>,
    until: Option<String>,
    number: Option<String>,
    text: Option<String>,
    extension: Option<String>,
    direction: Option<String>,
    outcome: Option<String>,
    status: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
    format: Option<String>,
}

/// The query of `/api/v1/stats`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatsParameters {
    site: Option<String>,
    since: Option<String>,
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
                                 `direction`, `outcome`, `status`, `cursor`, `limit` and `format`";
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
        ] {
            if value
                .as_ref()
                .is_some_and(|text| text.contains(char::is_control))
            {
                return Err(format!("`{parameter}` must not contain control characters"));
            }
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
            extension,
            direction,
            outcome,
            status,
            live: false,
            after,
            limit,
        })
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
