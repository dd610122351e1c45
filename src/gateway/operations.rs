//! The operations listener: `/healthz` (the process runs), `/readyz` (it can do its work) and
//! `/metrics`.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Map, Value};

use super::guard::{OwnHosts, guard};
use crate::chain::Chain;
use crate::domain::time::At;
use crate::health::HealthCheck;
use crate::health::{FlowCounters, FlowSnapshot};
use crate::port::clock::Clock;
use crate::port::intake::JournalDepth;
use crate::port::query::{OperationCounts, Query};

/// The sources of readiness and metrics.
#[derive(Clone)]
pub struct Health {
    /// Empty until the database is open, and in a process without a database.
    pub query: Arc<OnceLock<Arc<dyn Query>>>,
    /// The journal and its counters, in a process with an ingress.
    pub journal: Option<(Arc<dyn JournalDepth>, Arc<FlowCounters>)>,
    /// The counters of the partitions that this process may own.
    pub workers: Arc<Vec<Arc<FlowCounters>>>,
    /// The health checks of the other dependencies.
    pub checks: Vec<HealthCheck>,
    pub clock: Arc<dyn Clock>,
    pub metrics: PrometheusHandle,
}

pub fn router(health: Health, hosts: OwnHosts) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
        .layer(from_fn_with_state(hosts, guard))
}

/// The dependencies of the process, each "ok" or with its error.
#[derive(Default)]
struct Readiness {
    dependencies: Map<String, Value>,
    /// Whether a required dependency has an error.
    failed: bool,
}

impl Readiness {
    fn add(&mut self, name: &str, error: Option<String>, optional: bool) {
        self.failed |= error.is_some() && !optional;
        let state = error.unwrap_or_else(|| "ok".to_owned());
        self.dependencies.insert(name.to_owned(), state.into());
    }
}

/// Reports whether the process can do its work. An ingress can as long as the journal accepts
/// events, because events wait there for every other dependency: with one of them unavailable, the
/// process is degraded and still ready.
async fn ready(State(health): State<Health>) -> Response {
    let mut readiness = Readiness::default();

    if !health.workers.is_empty() || health.query.get().is_some() {
        let error = health.counts().await.err().or_else(|| {
            health
                .workers
                .iter()
                .find_map(|counters| counters.blocked_reason())
        });
        readiness.add("database", error, false);
    }
    for check in &health.checks {
        readiness.add(check.name, check.last_error(), check.optional);
    }
    let journal_error = health
        .journal
        .as_ref()
        .map(|(backlog, _)| backlog.refusal_reason());
    let journal_refuses = matches!(journal_error, Some(Some(_)));
    if let Some(error) = journal_error {
        readiness.add("journal", error, false);
    }

    let has_journal = health.journal.is_some();
    let (code, status) = match (journal_refuses, readiness.failed, has_journal) {
        (true, ..) | (false, true, false) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
        (false, true, true) => (StatusCode::OK, "degraded"),
        (false, false, _) => (StatusCode::OK, "ready"),
    };

    let mut body = readiness.dependencies;
    body.insert("status".to_owned(), status.into());
    (
        code,
        [(CONTENT_TYPE, "application/json")],
        format!("{}\n", Value::Object(body)),
    )
        .into_response()
}

async fn metrics(State(health): State<Health>) -> String {
    health.update_metrics();
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
            return Err("waiting for the database to open".to_owned());
        };

        query
            .counts()
            .await
            .map_err(|error| Chain(&error).to_string())
    }

    /// Copies the counters of the process to the metrics.
    fn update_metrics(&self) {
        let now = self.clock.now();

        if let Some((backlog, counters)) = &self.journal {
            update_journal_metrics(&**backlog, counters, now);
        }
        self.update_worker_metrics(now);
        for check in &self.checks {
            metrics::gauge!("cordboard_server_up", "server" => check.name)
                .set(flag(check.last_error().is_none()));
        }
    }

    fn update_worker_metrics(&self, now: At) {
        let snapshots: Vec<FlowSnapshot> = self
            .workers
            .iter()
            .map(|counters| counters.snapshot(0))
            .collect();
        let sum = |count: fn(&FlowSnapshot) -> u64| snapshots.iter().map(count).sum::<u64>();

        metrics::counter!("cordboard_worker_stored_total").absolute(sum(|flow| flow.stored));
        metrics::counter!("cordboard_worker_known_total").absolute(sum(|flow| flow.duplicates));
        metrics::counter!("cordboard_worker_dead_total").absolute(sum(|flow| flow.dead));

        // The lag is that of the slowest partition. A partition without a watermark is owned by
        // another worker; a single one (embedded) falls back to its last settled message.
        let only = snapshots.len() == 1;
        let slowest = snapshots
            .iter()
            .filter_map(|flow| flow.watermark.or(flow.settled_until.filter(|_| only)))
            .min();
        metrics::gauge!("cordboard_watermark_lag_seconds").set(seconds_since(slowest, now));
    }
}

fn update_journal_metrics(backlog: &dyn JournalDepth, counters: &FlowCounters, now: At) {
    let depth = backlog.depth();
    let flow = counters.snapshot(depth);

    metrics::counter!("cordboard_ingress_accepted_total").absolute(flow.accepted);
    metrics::gauge!("cordboard_conservation").set(gauge(flow.imbalance));
    metrics::gauge!("cordboard_journal_depth_records").set(gauge(depth.cast_signed()));
    metrics::gauge!("cordboard_journal_bytes").set(gauge(backlog.bytes().cast_signed()));
    metrics::gauge!("cordboard_journal_refusing").set(flag(backlog.refusal_reason().is_some()));

    let oldest = flow.settled_until.filter(|_| depth > 0);
    metrics::gauge!("cordboard_journal_oldest_seconds").set(seconds_since(oldest, now));
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
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
