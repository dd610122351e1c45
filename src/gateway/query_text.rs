//! The parameters of a question: instants, numbers, cursors.

use crate::domain::time::At;
use crate::port::query::CallFilter;
use crate::wire::instant;

/// Calls of one page, unless fewer are asked for.
const PAGE_CALLS: u32 = 50;
const PAGE_CALLS_MAX: u32 = 200;

/// The words of a call. What no call can be is a mistake, and not a question for which the whole
/// history would have to be read.
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
const OUTCOMES: [&str; 4] = ["answered", "missed", "no_answer", "lost"];

/// What is asked for, as it stands in the query.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallsQuestion {
    site: Option<String>,
    since: Option<String>,
    until: Option<String>,
    number: Option<String>,
    extension: Option<String>,
    direction: Option<String>,
    outcome: Option<String>,
    status: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatsQuestion {
    pub since: Option<String>,
    pub until: Option<String>,
}

impl CallsQuestion {
    pub(super) fn filter(self) -> Result<CallFilter, String> {
        let CallsQuestion {
            site,
            since,
            until,
            number,
            extension,
            direction,
            outcome,
            status,
            cursor,
            limit,
        } = self;
        let limit = limit.unwrap_or(PAGE_CALLS);
        if limit == 0 || limit > PAGE_CALLS_MAX {
            return Err(format!("`limit` must be between 1 and {PAGE_CALLS_MAX}"));
        }
        for (name, asked, known) in [
            ("direction", &direction, &DIRECTIONS[..]),
            ("outcome", &outcome, &OUTCOMES),
            ("status", &status, &STATUSES),
        ] {
            if asked
                .as_deref()
                .is_some_and(|asked| !known.contains(&asked))
            {
                return Err(format!("`{name}` is one of {}", known.join(", ")));
            }
        }
        let after = cursor.as_deref().map(read_cursor).transpose()?;
        let (since, until) = (
            read_instant("since", since.as_deref())?,
            read_instant("until", until.as_deref())?,
        );
        Ok(CallFilter {
            site,
            since,
            until,
            number,
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

pub(super) fn read_instant(name: &str, text: Option<&str>) -> Result<Option<i64>, String> {
    text.map(|text| {
        instant::parse(text)
            .map(|At(at)| at)
            .map_err(|error| format!("`{name}` is no instant: {error}"))
    })
    .transpose()
}

pub(super) fn cursor(started_at: i64, id: &str) -> String {
    format!("{started_at}.{id}")
}

fn read_cursor(text: &str) -> Result<(i64, String), String> {
    let read = text
        .split_once('.')
        .and_then(|(started_at, id)| Some((started_at.parse().ok()?, id.to_owned())));
    read.ok_or_else(|| "`cursor` is none that a page ended with".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_the_round_trip_and_mistakes_are_named() {
        assert_eq!(read_cursor(&cursor(-5, "a-b")), Ok((-5, "a-b".to_owned())));
        let wrong = |question: CallsQuestion| question.filter().err().unwrap();
        assert!(
            wrong(CallsQuestion {
                limit: Some(0),
                ..CallsQuestion::default()
            })
            .contains("limit")
        );
        assert!(
            wrong(CallsQuestion {
                since: Some("soon".into()),
                ..CallsQuestion::default()
            })
            .contains("since")
        );
        assert!(
            wrong(CallsQuestion {
                outcome: Some("rejected".into()),
                ..CallsQuestion::default()
            })
            .contains("no_answer")
        );
        assert!(
            CallsQuestion {
                outcome: Some("no_answer".into()),
                ..CallsQuestion::default()
            }
            .filter()
            .is_ok()
        );
        assert!(
            wrong(CallsQuestion {
                cursor: Some("x".into()),
                ..CallsQuestion::default()
            })
            .contains("cursor")
        );
    }
}
