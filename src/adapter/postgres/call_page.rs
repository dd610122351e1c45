//! The query for one page of calls.
//!
//! With every filter a page is read along an index that has its order, and the scan ends with
//! the page.

use std::fmt;

use sqlx::{Postgres, QueryBuilder};

use crate::adapter::sql;
use crate::port::query::{CallFilter, NamedParty};

/// Columns that hold a number; each has an index in the order of pages.
const NUMBER_COLUMNS: [&str; 4] = ["from_number", "from_e164", "to_number", "to_e164"];
/// Statuses of calls that have an end.
const ENDED_STATUSES: [&str; 2] = ["completed", "failed"];

const SELECT_OF_EXTENSION: &str = "(
            SELECT DISTINCT started_at, call_id
            FROM call_participants AS lead
            WHERE extension = ";

const OF_CALLS_WITH_EXTENSION: &str = "
        AND EXISTS (
            SELECT
            FROM call_participants AS party
            WHERE party.call_id = logs.call_id
                AND party.extension = ";

const WITH_CALL_REF: &str = "
        AND logs.call_id IN (
            SELECT call_id
            FROM call_participants
            WHERE call_ref = ";

const LIVE_ONLY: &str = "
        AND logs.ended_at IS NULL
        AND logs.call_id = ANY(ARRAY(
            SELECT our_call
            FROM live_states
            WHERE is_open
                AND ended_at IS NULL
        ))";

/// The table whose index leads to the calls, newest first.
#[derive(Clone, Copy, PartialEq)]
enum Lead {
    Logs,
    Participants,
    Outcomes,
}

impl Lead {
    fn to(filter: &CallFilter) -> Lead {
        match filter {
            // The logs have an index for each number column.
            CallFilter {
                number: Some(_), ..
            } => Lead::Logs,
            CallFilter {
                extension: Some(_), ..
            } => Lead::Participants,
            CallFilter {
                outcome: Some(_), ..
            } => Lead::Outcomes,
            _ => Lead::Logs,
        }
    }

    /// Its alias in the query.
    fn alias(self) -> &'static str {
        match self {
            Lead::Logs => "logs",
            Lead::Participants | Lead::Outcomes => "lead",
        }
    }
}

pub(super) fn select_calls(filter: &CallFilter) -> QueryBuilder<Postgres> {
    let filter = &with_outcome(filter);
    let mut query = QueryBuilder::new(
        "-- select_calls
    SELECT found.started_at, found.call_id::text, found.record::text
    FROM (",
    );

    if let Some(number) = &filter.number {
        for index in 0..NUMBER_COLUMNS.len() {
            query.push(if index == 0 { "(" } else { " UNION ALL (" });
            push_calls_of_number(&mut query, filter, number, index);
            query.push(")");
        }
    } else {
        push_calls(&mut query, filter);
        push_page(&mut query, filter, Lead::to(filter).alias());
    }

    query.push("\n    ) AS found");
    push_page(&mut query, filter, "found");

    query
}

/// Adds the outcome of failed calls: they are exactly the lost ones.
fn with_outcome(filter: &CallFilter) -> CallFilter {
    let mut filter = filter.clone();
    if filter.outcome.is_none() && filter.status.as_deref() == Some("failed") {
        filter.outcome = Some("lost".to_owned());
    }

    filter
}

/// Pushes the page of calls that have the number in one column and in none before it, so that a
/// call between equal numbers is found once.
fn push_calls_of_number(
    query: &mut QueryBuilder<Postgres>,
    filter: &CallFilter,
    number: &str,
    index: usize,
) {
    let column = NUMBER_COLUMNS[index];
    push_calls(query, filter);
    push_condition(query, format_args!("logs.{column} ="), number.to_owned());

    // The condition of the partial index on the international form.
    if let Some(party) = column.strip_suffix("e164") {
        query.push(format_args!(
            "\n        AND logs.{column} IS DISTINCT FROM logs.{party}number"
        ));
    }
    for earlier in &NUMBER_COLUMNS[..index] {
        push_condition(
            query,
            format_args!("logs.{earlier} IS DISTINCT FROM"),
            number.to_owned(),
        );
    }

    push_page(query, filter, Lead::Logs.alias());
}

/// Pushes the calls that pass the filter, its number left aside.
fn push_calls(query: &mut QueryBuilder<Postgres>, filter: &CallFilter) {
    let lead = Lead::to(filter);
    query.push(
        "
        SELECT logs.started_at, logs.call_id, logs.record
        FROM ",
    );

    match (lead, &filter.extension, &filter.outcome) {
        (Lead::Participants, Some(extension), _) => {
            // An extension may have several devices in one call.
            query.push(SELECT_OF_EXTENSION).push_bind(extension.clone());
            push_site_and_time(query, filter, lead);
            // DISTINCT guarantees no order of its own.
            query.push(
                "
            ORDER BY started_at DESC, call_id DESC
        ) AS lead
        JOIN call_logs AS logs USING (call_id)
        WHERE true",
            );
        }
        (Lead::Outcomes, _, Some(outcome)) => {
            query
                .push(
                    "call_outcomes AS lead
        JOIN call_logs AS logs USING (call_id)
        WHERE lead.outcome = ",
                )
                .push_bind(outcome.clone());
            push_site_and_time(query, filter, lead);
        }
        _ => {
            query.push("call_logs AS logs\n        WHERE true");
            push_site_and_time(query, filter, lead);
        }
    }

    push_conditions_on_logs(query, filter, lead);
}

fn push_conditions_on_logs(query: &mut QueryBuilder<Postgres>, filter: &CallFilter, lead: Lead) {
    let columns = [
        ("direction", &filter.direction),
        ("outcome", &filter.outcome),
        ("status", &filter.status),
    ];
    for (column, value) in columns {
        if let Some(value) = value {
            push_condition(query, format_args!("logs.{column} ="), value.clone());
        }
    }

    if lead != Lead::Participants
        && let Some(extension) = &filter.extension
    {
        query
            .push(OF_CALLS_WITH_EXTENSION)
            .push_bind(extension.clone())
            .push("\n        )");
    }

    if let Some(call_ref) = &filter.call_ref {
        query
            .push(WITH_CALL_REF)
            .push_bind(call_ref.clone())
            .push("\n        )");
    }

    if let Some(text) = &filter.text {
        let pattern = sql::pattern(text);
        query
            .push("\n        AND (logs.record #>> '{from,name}' ILIKE ")
            .push_bind(pattern.clone())
            .push(" OR logs.answered_by = ")
            .push_bind(text.clone());
        for column in NUMBER_COLUMNS {
            query
                .push(format_args!(" OR logs.{column} LIKE "))
                .push_bind(pattern.clone());
        }
        push_named(query, &filter.named);
        query.push(")");
    }

    let has_open_status = filter
        .status
        .as_deref()
        .is_some_and(|status| !ENDED_STATUSES.contains(&status));
    if filter.live || has_open_status {
        query.push(LIVE_ONLY);
    }
}

/// Pushes the calls of parties that have the name which is searched for.
fn push_named(query: &mut QueryBuilder<Postgres>, named: &[NamedParty]) {
    if named.is_empty() {
        return;
    }

    let sites: Vec<String> = named.iter().map(|party| party.site.clone()).collect();
    let numbers: Vec<String> = named.iter().map(|party| party.number.clone()).collect();
    for column in NUMBER_COLUMNS.into_iter().chain(["answered_by"]) {
        query
            .push(format_args!(
                "\n            OR (logs.site, logs.{column}) IN (SELECT * FROM unnest("
            ))
            .push_bind(sites.clone())
            .push(", ")
            .push_bind(numbers.clone())
            .push("))");
    }
}

/// Pushes the conditions on the site and the start, and on the position of the page.
fn push_site_and_time(query: &mut QueryBuilder<Postgres>, filter: &CallFilter, lead: Lead) {
    let lead = lead.alias();
    if let Some(site) = &filter.site {
        push_condition(query, format_args!("{lead}.site ="), site.clone());
    }
    if let Some(since) = filter.since {
        push_condition(query, format_args!("{lead}.started_at >="), since);
    }
    if let Some(until) = filter.until {
        push_condition(query, format_args!("{lead}.started_at <"), until);
    }

    if let Some((started_at, id)) = &filter.after {
        let id = uuid::Uuid::try_parse(id).unwrap_or_default();
        query
            .push(format_args!(
                "\n        AND ({lead}.started_at, {lead}.call_id) < ("
            ))
            .push_bind(*started_at)
            .push(", ")
            .push_bind(id)
            .push(")");
    }
}

/// Pushes one condition on a bound value.
fn push_condition<T>(query: &mut QueryBuilder<Postgres>, left_side: fmt::Arguments<'_>, value: T)
where
    T: for<'q> sqlx::Encode<'q, Postgres> + sqlx::Type<Postgres>,
{
    query
        .push(format_args!("\n        AND {left_side} "))
        .push_bind(value);
}

fn push_page(query: &mut QueryBuilder<Postgres>, filter: &CallFilter, table: &str) {
    query
        .push(format_args!(
            "\n        ORDER BY {table}.started_at DESC, {table}.call_id DESC\n        LIMIT "
        ))
        .push_bind(i64::from(filter.limit));
}
