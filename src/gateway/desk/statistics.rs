//! Statistics of the desk: how many callers waited, and how soon they were reached.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::callers::{SHOWN, number_of, status_of};
use super::reading::MissedCalls;
use crate::access::Principal;
use crate::domain::time::{At, Span};
use crate::gateway::Gateway;
use crate::gateway::parameters::{Parameters, SiteName, parse_instant, query};
use crate::gateway::response::{bad_parameter, document_response, unavailable_response};
use crate::gateway::sites::RuleBook;
use crate::gateway::visible::site_of;
use crate::port::desk::{DeskEntry, DeskStage, DeskStatus};
use crate::port::error::LedgerError;
use crate::wire::call_json::seconds;

/// The query of the statistics.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::gateway) struct PeriodParameters {
    /// The PBX. An account of one site needs no name of a site.
    #[param(inline, value_type = Option<SiteName>)]
    site: Option<String>,
    /// Calls that were missed at or after it; two weeks ago if absent.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Calls that were missed before it; now if absent.
    #[param(format = DateTime)]
    until: Option<String>,
}

impl Parameters for PeriodParameters {
    const NAMES: &'static str = "`site`, `since` and `until`";
}

/// The work of a person.
#[derive(Serialize, ToSchema)]
struct PersonsWork {
    /// The name of an account.
    name: String,
    /// Callers whom the person has marked as done.
    done: usize,
}

/// Callers who waited for a call back. One who called again before he was reached counts once.
#[derive(Default, Serialize, ToSchema)]
struct DeskStatistics {
    callers: usize,
    open: usize,
    assigned: usize,
    done: usize,
    /// Those among the done ones who were reached by a call.
    reached: usize,
    /// Those among the reached ones whose call began within the goal of their site.
    reached_in_goal: usize,
    /// Those who are not done and wait for longer than the goal.
    overdue: usize,
    /// Those who called while the site was closed.
    off_hours: usize,
    /// The time from the first missed call to the call that reached the caller.
    median_seconds: Option<f64>,
    /// The time within which nine of ten were reached.
    p90_seconds: Option<f64>,
    /// Callers that people marked as done, by disposition; `none` is for those without one.
    dispositions: BTreeMap<String, usize>,
    people: Vec<PersonsWork>,
    /// Whether all missed calls of the period were read; otherwise it is the latest of them.
    is_complete: bool,
}

/// How many callers waited for a call back, and how soon they were reached.
#[utoipa::path(
    get,
    path = "/api/v1/missed/statistics",
    operation_id = "desk_statistics",
    tag = "Missed calls",
    params(PeriodParameters),
    responses((status = 200, description = "The statistics.", body = DeskStatistics)),
)]
pub(in crate::gateway) async fn statistics(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<PeriodParameters>, QueryRejection>,
) -> Response {
    let checked = query(parameters).and_then(|parameters| {
        let since = parse_instant("since", parameters.since.as_deref())?.map(At);
        let until = parse_instant("until", parameters.until.as_deref())?.map(At);
        Ok((parameters.site, since, until))
    });
    let (site, since, until) = match checked {
        Ok(checked) => checked,
        Err(message) => return bad_parameter(&message),
    };
    let site = match site_of(&principal, site) {
        Ok(site) => site,
        Err(response) => return *response,
    };

    let now = gateway.clock.now();
    let since = since.unwrap_or(now - SHOWN);
    let read = async {
        let mut calls = MissedCalls::since(gateway.desk.as_ref(), site, since, DeskStage::All)
            .before(until.unwrap_or(At::END));
        let mut waits = Waits::default();
        while let Some(entries) = calls.next().await? {
            for entry in entries {
                waits.add(entry);
            }
        }
        let rules = gateway.sites.rules().await?;
        Ok::<_, LedgerError>((waits, rules, calls.is_complete()))
    };

    match read.await {
        Ok((waits, rules, is_complete)) => {
            let statistics = DeskStatistics {
                is_complete,
                ..waits.statistics(&rules, now)
            };
            document_response(StatusCode::OK, &statistics)
        }
        Err(error) => unavailable_response(&error),
    }
}

/// The caller of a wait, and the call that ended it.
type WaitKey = (String, String, Option<String>);

/// The waits of callers, from the first missed call of each to the call that reached him.
#[derive(Default)]
struct Waits {
    by_caller: BTreeMap<WaitKey, Wait>,
}

struct Wait {
    /// The latest missed call.
    latest: DeskEntry,
    first_missed_at: At,
    /// Whether all of its calls are done.
    is_done: bool,
    /// Whether a person has taken one of them.
    is_assigned: bool,
}

impl Waits {
    /// Adds a missed call, which is earlier than those before it.
    fn add(&mut self, entry: DeskEntry) {
        // A caller who hides his number waits alone.
        let number = number_of(&entry).unwrap_or(&entry.call_id).to_owned();
        let reached_by = entry.reached.as_ref().map(|call| call.call_id.clone());
        let (status, missed_at) = (status_of(&entry), entry.missed_at);

        let wait = self
            .by_caller
            .entry((entry.site.clone(), number, reached_by))
            .or_insert_with(|| Wait {
                latest: entry,
                first_missed_at: missed_at,
                is_done: true,
                is_assigned: false,
            });
        wait.first_missed_at = missed_at;
        wait.is_done &= status == DeskStatus::Done;
        wait.is_assigned |= status == DeskStatus::Assigned;
    }

    fn statistics(&self, rules: &RuleBook, now: At) -> DeskStatistics {
        let mut statistics = DeskStatistics::default();
        let mut times: Vec<Span> = Vec::new();
        let mut people: BTreeMap<&str, usize> = BTreeMap::new();

        for wait in self.by_caller.values() {
            let entry = &wait.latest;
            let rules = rules.of(&entry.site);
            let due_at = rules.desk_goal(wait.first_missed_at);
            statistics.callers += 1;
            statistics.off_hours += usize::from(!rules.hours.is_open(entry.missed_at));

            if let Some(reached) = &entry.reached {
                statistics.done += 1;
                statistics.reached += 1;
                statistics.reached_in_goal += usize::from(reached.started_at <= due_at);
                times.push(reached.started_at - wait.first_missed_at);
            } else if wait.is_done {
                statistics.done += 1;
                let disposition = entry.disposition.as_deref().unwrap_or("none");
                *statistics
                    .dispositions
                    .entry(disposition.to_owned())
                    .or_default() += 1;
                if let Some(name) = &entry.changed_by {
                    *people.entry(name).or_default() += 1;
                }
            } else {
                statistics.assigned += usize::from(wait.is_assigned);
                statistics.open += usize::from(!wait.is_assigned);
                statistics.overdue += usize::from(due_at < now);
            }
        }

        times.sort_unstable();
        statistics.median_seconds = rank(&times, 50).map(seconds);
        statistics.p90_seconds = rank(&times, 90).map(seconds);
        let people = people.into_iter().map(|(name, done)| PersonsWork {
            name: name.to_owned(),
            done,
        });
        statistics.people = people.collect();
        statistics
    }
}

/// The value that so many of a hundred do not exceed, of values in order.
fn rank(ordered: &[Span], percent: usize) -> Option<Span> {
    let index = (ordered.len() * percent).div_ceil(100).checked_sub(1)?;

    ordered.get(index).copied()
}
