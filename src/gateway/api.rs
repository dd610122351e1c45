//! Queries for calls and statistics. A call record is returned as the stored text.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as QueryString, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::Gateway;
use super::call_table::calls_csv;
use super::parameters::{
    CallsParameters, LIVE_CALLS_MAX, Segment, SiteListParameters, StatsParameters, checked_limit,
    cursor, query,
};
use super::response::{
    bad_parameter, document_response, error_response, json_response, no_right, unavailable_response,
};
use super::visible::{site_of, visible_record};
use crate::access::Principal;
use crate::domain::time::{At, Span};
use crate::port::ledger::LedgerError;
use crate::port::query::{CallFilter, HourStats, StoredCall};
use crate::wire::call_json::{CallJson, seconds};
use crate::wire::{instant, names};

/// A page of calls.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "a schema: records are sent as the text that is stored"
)]
struct CallPage {
    calls: Vec<CallJson<'static>>,
    /// `null` after the last page.
    next_cursor: Option<String>,
}

/// Calls, the newest first.
///
/// All filters must hold. An export as CSV needs the right `export`.
#[utoipa::path(
    get,
    path = "/api/v1/calls",
    operation_id = "list_calls",
    tag = "Calls",
    params(CallsParameters),
    responses(
        (status = 200, description = "A page of calls, or all of them as CSV.",
            content((CallPage = "application/json"), (String = "text/csv"))),
        (status = 403, description = "`no_right`: the account cannot export calls, or sees masked \
            numbers and cannot search for them."),
    ),
)]
pub(super) async fn calls(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    headers: HeaderMap,
    parameters: Result<QueryString<CallsParameters>, QueryRejection>,
) -> Response {
    let checked = query(parameters).and_then(|parameters| {
        let wants_csv = parameters.wants_csv();
        Ok((parameters.into_filter()?, wants_csv))
    });
    let (mut filter, wants_csv) = match checked {
        Ok(checked) => checked,
        Err(message) => return bad_parameter(&message),
    };
    filter.site = match site_of(&principal, filter.site) {
        Ok(site) => site,
        Err(response) => return *response,
    };

    if let Err(response) = limit_search(&principal, &mut filter) {
        return *response;
    }
    if let Some(text) = &filter.text {
        match gateway.parties_named(filter.site.as_deref(), text).await {
            Ok(named) => filter.named = named,
            Err(error) => return unavailable_response(&error),
        }
    }

    if wants_csv || accepts_csv(&headers) {
        return calls_csv(&gateway, &principal, filter).await;
    }

    // One more than the page shows whether another one follows.
    let limit = filter.limit as usize;
    filter.limit += 1;
    query_response(gateway.query.calls(&filter).await, |calls| {
        calls_page(&principal, &calls, limit)
    })
}

/// A search for a number shows it digit by digit, so it finds only calls whose numbers are shown: an
/// agent searches among the calls of the own phone. The reference of a call may hold its number.
fn limit_search(principal: &Principal, filter: &mut CallFilter) -> Result<(), Box<Response>> {
    let is_search = filter.number.is_some() || filter.text.is_some() || filter.call_ref.is_some();
    if principal.sees_all_numbers() || !is_search {
        return Ok(());
    }

    // The same extension at another site is another phone.
    let own = principal.extension.as_ref().zip(principal.own_site());
    let is_own = |asked: &Option<String>, own: &str| asked.as_deref().is_none_or(|it| it == own);
    match own {
        Some((extension, site))
            if is_own(&filter.extension, extension.as_str()) && is_own(&filter.site, site) =>
        {
            filter.extension = Some(extension.to_string());
            filter.site = Some(site.to_owned());
            Ok(())
        }
        _ => Err(Box::new(no_right(
            "this account sees masked numbers and cannot search for them",
        ))),
    }
}

fn accepts_csv(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accepted| accepted.to_str().ok())
        .is_some_and(|accepted| accepted.starts_with("text/csv"))
}

/// Calls that are not over.
///
/// Without `limit` at most 1,000.
#[utoipa::path(
    get,
    path = "/api/v1/calls/live",
    operation_id = "list_live_calls",
    tag = "Calls",
    params(SiteListParameters),
    responses((status = 200, description = "The calls.", body = CallPage)),
)]
pub(super) async fn live(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<SiteListParameters>, QueryRejection>,
) -> Response {
    let (site, limit) = match list_of(&principal, parameters, LIVE_CALLS_MAX) {
        Ok(list) => list,
        Err(response) => return *response,
    };

    // The live view has no order over all partitions.
    let is_whole = limit == LIVE_CALLS_MAX && site.is_none();
    if is_whole
        && let Some(records) = gateway.live_calls().await
        && records.len() <= LIVE_CALLS_MAX as usize
    {
        let visible = records
            .iter()
            .filter_map(|record| visible_record(&principal, record));
        let records: Vec<_> = visible.collect();
        return json_response(
            StatusCode::OK,
            format!("{{\"calls\":[{}],\"next_cursor\":null}}", records.join(",")),
        );
    }

    let filter = CallFilter::of_live(site, limit);
    query_response(gateway.query.calls(&filter).await, |calls| {
        calls_page(&principal, &calls, usize::MAX)
    })
}

/// One call.
///
/// Its links are those of the record, without those that a person removed, and with those that a
/// person made.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}",
    operation_id = "get_call",
    tag = "Calls",
    params(("id" = inline(Segment), Path, description = "The id of the call.")),
    responses(
        (status = 200, description = "The call.", body = CallJson<'static>),
        (status = 404, description = "`not_found`: there is no such call."),
    ),
)]
pub(super) async fn call(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
) -> Response {
    let live_record = match &gateway.directory {
        Some(directory) => directory.call(&id).await,
        None => None,
    };
    let record = match live_record {
        Some(record) => Ok(Some(record)),
        None => gateway.query.call(&id).await,
    };

    // A call of another site is answered as if there were none.
    let visible = record.map(|record| {
        record.and_then(|record| visible_record(&principal, &record).map(Cow::into_owned))
    });
    match visible {
        Ok(Some(record)) => {
            let record = gateway.with_links_by_hand(&id, record).await;
            json_response(StatusCode::OK, record)
        }
        Ok(None) => error_response(StatusCode::NOT_FOUND, "not_found", "there is no such call"),
        Err(error) => unavailable_response(&error),
    }
}

/// The calls of one site, one direction and one hour.
#[derive(Serialize, ToSchema)]
#[schema(as = HourStats)]
struct HourStatsJson {
    site: String,
    /// The beginning of the hour.
    #[schema(format = DateTime)]
    hour: String,
    #[schema(value_type = names::Direction)]
    direction: String,
    calls: i64,
    answered: i64,
    missed: i64,
    ring_seconds: f64,
    talk_seconds: f64,
}

/// A list of statistics.
#[derive(Serialize, ToSchema)]
struct StatsList {
    stats: Vec<HourStatsJson>,
}

/// Numbers and times of calls, by site, hour and direction.
#[utoipa::path(
    get,
    path = "/api/v1/stats",
    operation_id = "list_stats",
    tag = "Calls",
    params(StatsParameters),
    responses((status = 200, description = "The statistics.", body = StatsList)),
)]
pub(super) async fn stats(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<StatsParameters>, QueryRejection>,
) -> Response {
    let (site, since, until) = match query(parameters).and_then(StatsParameters::into_filter) {
        Ok(filter) => filter,
        Err(message) => return bad_parameter(&message),
    };
    let site = match site_of(&principal, site) {
        Ok(site) => site,
        Err(response) => return *response,
    };

    let stats = gateway.query.stats(site.as_deref(), since, until).await;
    match stats {
        Ok(stats) => {
            let stats = stats.into_iter().map(hour_stats).collect();
            document_response(StatusCode::OK, &StatsList { stats })
        }
        Err(error) => unavailable_response(&error),
    }
}

/// Site and length of a list.
fn list_of(
    principal: &Principal,
    parameters: Result<QueryString<SiteListParameters>, QueryRejection>,
    length: u32,
) -> Result<(Option<String>, u32), Box<Response>> {
    let checked = query(parameters)
        .and_then(|SiteListParameters { site, limit }| Ok((site, checked_limit(limit, length)?)));
    let (site, limit) = checked.map_err(|message| Box::new(bad_parameter(&message)))?;

    Ok((site_of(principal, site)?, limit))
}

fn hour_stats(stats: HourStats) -> HourStatsJson {
    HourStatsJson {
        site: stats.site,
        hour: instant::text(At(stats.hour)),
        direction: stats.direction,
        calls: stats.calls,
        answered: stats.answered,
        missed: stats.missed,
        ring_seconds: seconds(Span(stats.ring_us)),
        talk_seconds: seconds(Span(stats.talk_us)),
    }
}

/// The records of one page, and the cursor of the next page if there are more calls.
fn calls_page(principal: &Principal, calls: &[StoredCall], limit: usize) -> String {
    let page = &calls[..calls.len().min(limit)];
    let visible = page
        .iter()
        .filter_map(|call| visible_record(principal, &call.record));
    let records: Vec<_> = visible.collect();
    let next_cursor = page
        .last()
        .filter(|_| calls.len() > limit)
        .map(|last| cursor(last.started_at, &last.id));

    format!(
        "{{\"calls\":[{}],\"next_cursor\":{}}}",
        records.join(","),
        json!(next_cursor)
    )
}

fn query_response<T>(
    result: Result<T, LedgerError>,
    to_json: impl FnOnce(T) -> String,
) -> Response {
    match result {
        Ok(value) => json_response(StatusCode::OK, to_json(value)),
        Err(error) => unavailable_response(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_searches_among_the_calls_of_the_own_phone_only() {
        let search = |sites: &[&str], site: Option<&str>, extension: Option<&str>| {
            let mut filter = CallFilter {
                text: Some("030".to_owned()),
                site: site.map(ToOwned::to_owned),
                extension: extension.map(ToOwned::to_owned),
                ..CallFilter::default()
            };
            limit_search(&Principal::agent_of(sites), &mut filter).ok()?;
            Some((filter.site?, filter.extension?))
        };
        let own = |site: &str| Some((site.to_owned(), "201".to_owned()));

        assert_eq!(search(&["berlin"], None, None), own("berlin"));
        assert_eq!(search(&[], None, Some("201")), own("default"));
        assert_eq!(search(&[], Some("berlin"), None), None);
        assert_eq!(search(&["berlin"], None, Some("202")), None);
        assert_eq!(search(&["berlin", "paris"], Some("paris"), None), None);
    }
}
