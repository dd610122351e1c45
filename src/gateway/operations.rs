//! Signs of life for whoever operates the service: is it alive, can it take events, what does it
//! do.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::domain::time::At;
use crate::health::HealthCheck;
use crate::health::{FlowCounters, FlowSnapshot};
use crate::port::clock::Clock;
use crate::port::intake::Backlog;
use crate::port::query::{OperationCounts, Query};

/// What tells whether the service can do its work.
#[derive(Clone)]
pub struct Health {
    /// Empty until the database is open, and where none is needed.
    pub query: Arc<OnceLock<Arc<dyn Query>>>,
    /// Where phones are served.
    pub journal: Option<(Arc<dyn Backlog>, Arc<FlowCounters>)>,
    /// The books of the partitions this process may work on.
    pub workers: Arc<Vec<Arc<FlowCounters>>>,
    /// What else it depends on.
    pub signs: Vec<HealthCheck>,
    pub clock: Arc<dyn Clock>,
    pub metrics: PrometheusHandle,
}

pub fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

/// Ready is who can do what it is there for. Who serves phones can, as long as the journal takes
/// events: whatever else is away, they wait in it. That is degraded, and still ready.
async fn ready(State(health): State<Health>) -> Response {
    let mut told = serde_json::Map::new();
    let mut troubled = false;
    let mut tell = |what: &str, trouble: Option<String>, optional: bool| {
        troubled |= trouble.is_some() && !optional;
        told.insert(
            what.to_owned(),
            trouble.unwrap_or_else(|| "ok".to_owned()).into(),
        );
    };
    if !health.workers.is_empty() || health.query.get().is_some() {
        tell(
            "database",
            health.counts().await.err().or_else(|| {
                health
                    .workers
                    .iter()
                    .find_map(|books| books.blocked_reason())
            }),
            false,
        );
    }
    for sign in &health.signs {
        tell(sign.name, sign.last_error(), sign.optional);
    }
    let journal = health
        .journal
        .as_ref()
        .map(|(backlog, _)| backlog.refusal_reason());
    let refusing = matches!(journal, Some(Some(_)));
    if let Some(trouble) = journal {
        tell("journal", trouble, false);
    }
    let (code, status) = match (refusing, troubled, health.journal.is_some()) {
        (true, ..) | (false, true, false) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
        (false, true, true) => (StatusCode::OK, "degraded"),
        (false, false, _) => (StatusCode::OK, "ready"),
    };
    told.insert("status".to_owned(), status.into());
    (
        code,
        [(CONTENT_TYPE, "application/json")],
        format!("{}\n", serde_json::Value::Object(told)),
    )
        .into_response()
}

async fn metrics(State(health): State<Health>) -> String {
    health.publish();
    if let Ok(counts) = health.counts().await {
        metrics::gauge!("cordboard_calls_live").set(f64::from(counts.live));
        metrics::gauge!("cordboard_missed_pending").set(f64::from(counts.missed_pending));
        metrics::gauge!("cordboard_dead_letters").set(f64::from(counts.dead));
    }
    health.metrics.run_upkeep();
    health.metrics.render()
}

impl Health {
    async fn counts(&self) -> Result<OperationCounts, String> {
        let Some(query) = self.query.get() else {
            return Err("waiting for it to open".to_owned());
        };
        query.counts().await.map_err(|error| error.to_string())
    }

    /// What the books say, for the next reading of the metrics.
    fn publish(&self) {
        let now = self.clock.now();
        if let Some((backlog, books)) = &self.journal {
            let waiting = backlog.depth();
            let account = books.snapshot(waiting);
            metrics::counter!("cordboard_ingress_accepted_total").absolute(account.accepted);
            metrics::gauge!("cordboard_conservation").set(gauge(account.imbalance));
            metrics::gauge!("cordboard_journal_depth_records").set(gauge(waiting.cast_signed()));
            metrics::gauge!("cordboard_journal_bytes").set(gauge(backlog.bytes().cast_signed()));
            metrics::gauge!("cordboard_journal_refusing").set(
                if backlog.refusal_reason().is_some() {
                    1.0
                } else {
                    0.0
                },
            );
            let oldest = account.settled_until.filter(|_| waiting > 0);
            metrics::gauge!("cordboard_journal_oldest_seconds").set(seconds_since(oldest, now));
        }
        let worked: Vec<FlowSnapshot> =
            self.workers.iter().map(|books| books.snapshot(0)).collect();
        let sum = |count: fn(&FlowSnapshot) -> u64| worked.iter().map(count).sum::<u64>();
        metrics::counter!("cordboard_worker_stored_total").absolute(sum(|account| account.stored));
        metrics::counter!("cordboard_worker_known_total")
            .absolute(sum(|account| account.duplicates));
        metrics::counter!("cordboard_worker_dead_total").absolute(sum(|account| account.dead));
        // The one furthest behind; a partition that somebody else works on is none of ours.
        let only = worked.len() == 1;
        let behind = worked
            .iter()
            .filter_map(|account| account.watermark.or(account.settled_until.filter(|_| only)))
            .min();
        metrics::gauge!("cordboard_watermark_lag_seconds").set(seconds_since(behind, now));
        for sign in &self.signs {
            metrics::gauge!("cordboard_server_up", "server" => sign.name).set(
                if sign.last_error().is_some() {
                    0.0
                } else {
                    1.0
                },
            );
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of one process are far below 2^53"
)]
fn gauge(value: i64) -> f64 {
    value as f64
}

fn seconds_since(at: Option<At>, now: At) -> f64 {
    at.map_or(0.0, |at| gauge((now - at).0.max(0)) / 1e6)
}
