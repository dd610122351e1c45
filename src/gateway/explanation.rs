//! Why a record is as it is: the facts of the call, the rule behind each, and the conclusions, from
//! the stored facts of its site around it.
//!
//! Limits: an hour of facts before the call and three minutes after it, and 50,000 facts.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::Gateway;
use super::parameters::Segment;
use super::response::{document_response, error_response, unavailable_response};
use super::visible::visible_record;
use crate::access::{Principal, masked_if_outside};
use crate::domain::device::Extension as PhoneExtension;
use crate::domain::explain::Line;
use crate::domain::fact::{EventId, Fact, Site};
use crate::domain::record::CallRecord;
use crate::domain::time::{At, Span};
use crate::domain::timeline::Replay;
use crate::port::error::LedgerError;
use crate::port::ledger::HistoryLimit;
use crate::wire::explanation::conclusions;
use crate::wire::message::Message;
use crate::wire::{instant, names};

const BEFORE: Span = Span::seconds(3_600);
const AFTER: Span = Span::seconds(180);
const HISTORY_MAX: HistoryLimit = HistoryLimit {
    messages: 50_000,
    bytes: 32 << 20,
};
/// Explanations that are made at once: each may hold tens of megabytes.
static EXPLAINING: Semaphore = Semaphore::const_new(2);

/// A fact of a call, and the rule that placed it.
#[derive(Serialize, ToSchema)]
#[schema(as = ExplainedFact)]
struct LineJson {
    #[schema(format = DateTime)]
    at: String,
    mac: String,
    extension: Option<String>,
    event: &'static str,
    /// The other party, as the phone reported it.
    remote: Option<String>,
    rule: &'static str,
    /// The rule in words.
    meaning: &'static str,
}

/// The reasons of a record.
#[derive(Serialize, ToSchema)]
struct Explanation {
    #[schema(format = "uuid")]
    call_id: String,
    facts: Vec<LineJson>,
    /// One sentence each.
    conclusions: Vec<String>,
    #[schema(value_type = names::Confidence)]
    confidence: &'static str,
    /// The reason of a confidence that is not `high`.
    reason: Option<&'static str>,
}

/// Why a record is as it is.
///
/// Every fact of the call with its rule, and the conclusions, from the stored facts.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}/explanation",
    operation_id = "explain_call",
    tag = "Calls",
    params(("id" = inline(Segment), Path, description = "The id of the call.")),
    responses(
        (status = 200, description = "The explanation.", body = Explanation),
        (status = 404, description = "`not_found`: there is no such call. `no_explanation`: its \
            facts are not stored any more, or too many surround it."),
    ),
)]
pub(super) async fn explanation(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
) -> Response {
    let stored = match gateway.query.call(&id).await {
        Ok(stored) => stored,
        Err(error) => return unavailable_response(&error),
    };
    let visible = stored
        .as_deref()
        .and_then(|record| visible_record(&principal, record));
    let (Some(stored), Some(visible)) = (&stored, visible) else {
        return error_response(StatusCode::NOT_FOUND, "not_found", "there is no such call");
    };
    let is_masked = stored.as_str() != visible.as_ref();

    match explained(&gateway, &id, stored).await {
        Ok(Some(record)) => document_response(StatusCode::OK, &explanation_of(&record, is_masked)),
        Ok(None) => error_response(
            StatusCode::NOT_FOUND,
            "no_explanation",
            "the facts of this call are not stored any more, or too many surround it",
        ),
        Err(error) => unavailable_response(&error),
    }
}

/// The record, folded again from the facts around it, with its trace.
async fn explained(
    gateway: &Gateway,
    id: &str,
    stored: &str,
) -> Result<Option<CallRecord>, LedgerError> {
    let stored: Value = serde_json::from_str(stored).unwrap_or_default();
    let at = |field: &str| {
        stored[field]
            .as_str()
            .and_then(|text| instant::parse(text).ok())
    };
    let site = stored["site"].as_str().and_then(Site::parse);
    let (Some(site), Some(started)) = (site, at("started_at")) else {
        return Ok(None);
    };
    let ended = at("ended_at").unwrap_or_else(|| gateway.clock.now());

    // Only a closed semaphore refuses, and this one is never closed.
    let _turn = EXPLAINING.acquire().await.ok();
    let messages = gateway
        .history
        .fact_messages(&site, started - BEFORE, ended + AFTER, HISTORY_MAX)
        .await?;
    let Some(messages) = messages else {
        return Ok(None);
    };
    let mut facts: Vec<Fact> = messages
        .iter()
        .filter_map(|message| Message::fact(message, &gateway.policies))
        .collect();
    facts.sort_by_key(Fact::key);

    let known: Vec<(PhoneExtension, At)> = gateway
        .query
        .extensions(site.as_str())
        .await?
        .into_iter()
        .filter_map(|known| {
            Some((
                PhoneExtension::parse(&known.extension)?,
                At(known.first_report),
            ))
        })
        .collect();
    let call = EventId::parse(id);
    let policy = Arc::clone(gateway.policies.of(&site));
    let folded = tokio::task::spawn_blocking(move || {
        let mut replay = Replay::with_explanations(site, policy);
        replay.know_extensions(&known);
        for fact in &facts {
            replay.step(fact);
        }
        let watermark = facts.last().map_or(ended, |fact| fact.at).max(ended);
        let mut records = replay.advance(watermark);
        records.extend(replay.open_calls(watermark));
        records.into_iter().find(|record| Some(record.id) == call)
    });

    // A panic of the fold is logged; the record itself was made without it.
    Ok(folded.await.ok().flatten())
}

fn explanation_of(record: &CallRecord, is_masked: bool) -> Explanation {
    let facts = record
        .trace
        .iter()
        .map(|line| line_json(line, is_masked))
        .collect();
    // Conclusions name extensions, and the target of a transfer.
    let conclusions: Vec<String> = conclusions(record);

    Explanation {
        call_id: record.id.to_string(),
        facts,
        conclusions: if is_masked {
            masked(conclusions, record)
        } else {
            conclusions
        },
        confidence: record.confidence.name(),
        reason: record.reason,
    }
}

fn line_json(line: &Line, is_masked: bool) -> LineJson {
    let number = line.remote.raw();
    let remote = match number {
        "" => None,
        number if is_masked => masked_if_outside(number).or_else(|| Some(number.to_owned())),
        number => Some(number.to_owned()),
    };

    LineJson {
        at: instant::text(line.at),
        mac: line.device.to_string(),
        extension: line.extension.as_ref().map(ToString::to_string),
        event: line.kind.name(),
        remote,
        rule: line.rule.name(),
        meaning: line.rule.description(),
    }
}

/// The conclusions without the number of an outside transfer target.
fn masked(conclusions: Vec<String>, record: &CallRecord) -> Vec<String> {
    let target = record
        .transfer
        .as_ref()
        .and_then(|transfer| transfer.to.as_deref());
    let Some((target, masked)) = target.and_then(|to| Some((to, masked_if_outside(to)?))) else {
        return conclusions;
    };

    conclusions
        .into_iter()
        .map(|line| line.replace(target, &masked))
        .collect()
}
