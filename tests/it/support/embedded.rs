//! The embedded service in the process of the test, with a clock that the test sets.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use cordboard::app::{Context, Service, Stop};
use cordboard::ops::{self, Scope};
use cordboard::port::clock::Clock;
use cordboard::setup::Roles;
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::Value;

use super::flow::Flow;
use super::http;
use super::play::{HandClock, calls_of, play, settings, write_settings};
use super::wait::{PATIENCE, eventually, within};

/// Plays flows in one form through a service in this folder, and returns the calls of each as the
/// API shows them, when all flows have ended. The stored records equal a rebuild.
pub async fn play_through(
    flows: &[Flow],
    data: &Path,
    form: usize,
    metrics: PrometheusHandle,
) -> Vec<Vec<Value>> {
    let settings = settings(&write_settings(flows, data, ""));
    let clock = Arc::new(HandClock::at(&data.join("clock")));
    let stop = Stop::default();
    let context = Context {
        roles: Roles::ALL,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        metrics,
        reread: Arc::new(|| panic!("no reload is requested")),
        stop: stop.clone(),
    };

    let service = Service::start(&settings, context).await.unwrap().unwrap();
    let ingress = service.addresses.ingress.unwrap();
    let gateway = service.addresses.gateway.unwrap();
    let operations = service.addresses.operations;
    let running = tokio::spawn(service.run());

    play(flows, &[ingress], &clock, form).await;
    until_all_flows_ended(operations).await;
    let calls = join_all((0..flows.len()).map(|index| calls_of(gateway, index))).await;

    stop.request();
    within(PATIENCE, "the end of the service", running)
        .await
        .unwrap()
        .unwrap();
    let differences = ops::differences(&settings, &Scope::default()).await;
    assert_eq!(differences.unwrap(), []);

    calls
}

/// Waits until the worker has seen the end of all flows.
async fn until_all_flows_ended(operations: SocketAddr) {
    eventually(PATIENCE, "the end of all flows", async || {
        let (_, metrics) = http::get(operations, "/metrics").await;
        let lag = value(&metrics, "cordboard_watermark_lag_seconds");
        let live = value(&metrics, "cordboard_calls_live");

        match (lag, live) {
            (Some(lag), Some(live)) if lag < 3_600.0 && live < 0.5 => Ok(()),
            seen => Err(format!("lag and live calls: {seen:?}")),
        }
    })
    .await;
}

/// The value of a metric without labels.
fn value(metrics: &str, name: &str) -> Option<f64> {
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .and_then(|value| value.parse().ok())
}
