//! All call flows at once through the whole service: real requests, the journal, the worker, the
//! database, the API. Only the clock is the test's, so that the flows take as long as they take
//! without anybody waiting.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::support::flow;
use crate::support::ledger::block_on;
use crate::support::play::{HandClock, ask, calls_of, play, settings, write_settings};
use crate::support::verdict::{Leniency, differences_as_shown};
use cordboard::app::{self, Context, Roles, Scope, Service, Stop};
use cordboard::port::clock::Clock;
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use tokio::io::BufReader;
use tokio::net::TcpStream;

/// Reads the metrics until the worker has seen the end of all flows.
async fn wait_for_the_end(operations: SocketAddr) {
    let mut socket = BufReader::new(TcpStream::connect(operations).await.unwrap());
    loop {
        let (_, metrics) = ask(&mut socket, "/metrics").await;
        let value = |name: &str| -> f64 {
            let line = metrics
                .lines()
                .find(|line| line.starts_with(name) && line.as_bytes()[name.len()] == b' ')
                .unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        if value("cordboard_watermark_lag_seconds") < 3_600.0 && value("cordboard_calls_live") < 0.5
        {
            return;
        }
    }
}

#[test]
fn every_flow_gives_its_records_through_the_whole_service() {
    let flows = flow::all();
    let metrics = PrometheusBuilder::new().install_recorder().unwrap();
    let mut wrong = Vec::new();
    for form in 0..4 {
        let data = tempfile::tempdir().unwrap();
        let settings = settings(&write_settings(&flows, data.path(), ""));
        let shown: Vec<Vec<Value>> = block_on(async {
            let (clock, stop) = (
                Arc::new(HandClock::at(&data.path().join("clock"))),
                Stop::default(),
            );
            let reread = Arc::new(|| panic!("nobody asked for it"));
            let surroundings = Context {
                roles: Roles::ALL,
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                metrics: metrics.clone(),
                reread,
                stop: stop.clone(),
            };
            let service = Service::start(&settings, surroundings)
                .await
                .unwrap()
                .unwrap();
            let addresses = service.addresses;
            let running = tokio::spawn(service.run());
            play(&flows, &[addresses.ingress.unwrap()], &clock, form).await;
            wait_for_the_end(addresses.operations).await;
            let shown =
                join_all((0..flows.len()).map(|index| calls_of(addresses.gateway.unwrap(), index)))
                    .await;
            stop.ask();
            running.await.unwrap().unwrap();
            assert_eq!(
                app::differences(&settings, &Scope::default())
                    .await
                    .unwrap(),
                []
            );
            shown
        });
        for (flow, calls) in flows.iter().zip(&shown) {
            wrong.extend(
                differences_as_shown(flow, calls, Leniency::default())
                    .into_iter()
                    .map(|it| format!("{} (form {form}): {it}", flow.name)),
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
