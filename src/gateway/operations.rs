//! Signs of life for whoever operates the service: is it alive, can it take events, what does it do.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::domain::time::At;
use crate::port::books::Books;
use crate::port::clock::Clock;
use crate::port::intake::Backlog;
use crate::port::query::{Counts, Query};

/// What tells whether the service can do its work.
#[derive(Clone)]
pub struct Health {
    /// Empty until the database is open.
    pub query: Arc<OnceLock<Arc<dyn Query>>>,
    pub backlog: Arc<dyn Backlog>,
    pub books: Arc<Books>,
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

/// Ready is who can take events. Without the database they wait in the journal: that is degraded, and still ready.
async fn ready(State(health): State<Health>) -> Response {
    let journal = health.backlog.trouble();
    let database = health.counts().await.err().or_else(|| health.books.trouble());
    let (code, status) = match (&journal, &database) {
        (Some(_), _) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
        (None, Some(_)) => (StatusCode::OK, "degraded"),
        (None, None) => (StatusCode::OK, "ready"),
    };
    let told = |trouble: Option<String>| trouble.unwrap_or_else(|| "ok".to_owned());
    let body = serde_json::json!({ "status": status, "journal": told(journal), "database": told(database) });
    (code, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
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
    async fn counts(&self) -> Result<Counts, String> {
        let Some(query) = self.query.get() else { return Err("waiting for it to open".to_owned()) };
        query.counts().await.map_err(|error| error.to_string())
    }

    /// What the books say, for the next reading of the metrics.
    fn publish(&self) {
        let waiting = self.backlog.depth();
        let account = self.books.account(waiting);
        metrics::counter!("cordboard_ingress_accepted_total").absolute(account.accepted);
        metrics::counter!("cordboard_worker_stored_total").absolute(account.stored);
        metrics::counter!("cordboard_worker_known_total").absolute(account.known);
        metrics::counter!("cordboard_worker_dead_total").absolute(account.dead);
        metrics::gauge!("cordboard_conservation").set(gauge(account.surplus));
        metrics::gauge!("cordboard_journal_depth_records").set(gauge(waiting.cast_signed()));
        metrics::gauge!("cordboard_journal_bytes").set(gauge(self.backlog.bytes().cast_signed()));
        metrics::gauge!("cordboard_journal_refusing").set(if self.backlog.trouble().is_some() { 1.0 } else { 0.0 });
        let now = self.clock.now();
        let oldest = account.settled_up_to.filter(|_| waiting > 0);
        metrics::gauge!("cordboard_journal_oldest_seconds").set(seconds_since(oldest, now));
        metrics::gauge!("cordboard_watermark_lag_seconds").set(seconds_since(account.watermark.or(account.settled_up_to), now));
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of one process are far below 2^53")]
fn gauge(value: i64) -> f64 {
    value as f64
}

fn seconds_since(at: Option<At>, now: At) -> f64 {
    at.map_or(0.0, |at| gauge((now - at).0.max(0)) / 1e6)
}
