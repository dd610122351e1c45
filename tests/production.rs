//! The service on real servers: RabbitMQ, PostgreSQL, Redis; several ingresses, workers and gateways. Only the clock is the test's.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use std::sync::Arc;

use cordboard::app::{self, Roles, Scope, Service, Stop, Surroundings};
use cordboard::config::Settings;
use cordboard::port::clock::Clock;
use futures_util::future::join_all;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::Value;
use support::flow;
use support::ledger::block_on;
use support::play::{HandClock, calls_of, play, settings};
use support::postgres;
use support::rabbit;
use support::servers;
use support::verdict::{Leniency, differences_as_shown};
use tokio::task::JoinHandle;

const NONE: Roles = Roles { ingress: false, worker: false, gateway: false };

/// Processes of one service, in this one.
struct Fleet {
    clock: Arc<HandClock>,
    metrics: PrometheusHandle,
    stop: Stop,
    running: Vec<JoinHandle<Result<(), app::Failed>>>,
}

impl Fleet {
    async fn start(&mut self, settings: &Settings, roles: Roles) -> app::Addresses {
        let surroundings = Surroundings {
            roles,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            metrics: self.metrics.clone(),
            reread: Arc::new(|| panic!("nobody asked for it")),
            stop: self.stop.clone(),
        };
        let service = Service::start(settings, surroundings).await.unwrap().unwrap();
        let addresses = service.addresses;
        self.running.push(tokio::spawn(service.run()));
        addresses
    }

    async fn end(self) {
        self.stop.ask();
        for one in self.running {
            one.await.unwrap().unwrap();
        }
    }
}

/// Waits until time has passed for every partition, and every call is final.
async fn wait_for_the_end(database: &str) {
    let open = "SELECT (SELECT count(*) FROM call_states WHERE is_open) + (SELECT count(*) FROM partition_owner WHERE watermark < 1767268800000000)
        + greatest(0, 6 - (SELECT count(*) FROM partition_owner))";
    while postgres::value::<i64>(database, open).await > 0 {}
}

#[test]
fn every_flow_gives_its_records_through_three_workers_and_two_ingresses() {
    let flows = flow::all();
    let metrics = PrometheusBuilder::new().install_recorder().unwrap();
    let mut wrong = Vec::new();
    for form in 0..2 {
        let data: Vec<_> = (0..6).map(|_| tempfile::tempdir().unwrap()).collect();
        let shown: Vec<Vec<Value>> = block_on(async {
            let (database, broker) = (postgres::database().await, rabbit::vhost().await);
            let more = format!(
                "[broker]\nurl = \"{broker}\"\npartitions = 6\nbalance_ms = 300\n[database]\nurl = \"{database}\"\n\
                 [live]\nurl = \"{}\"\nprefix = \"{}:\"\n",
                servers::shared().redis,
                uuid::Uuid::now_v7().simple()
            );
            let settings: Vec<Settings> = data.iter().map(|data| settings(&flows, data.path(), &more)).collect();
            let mut fleet = Fleet { clock: Arc::default(), metrics: metrics.clone(), stop: Stop::default(), running: Vec::new() };
            let mut ingresses = Vec::new();
            for settings in &settings[..2] {
                ingresses.push(fleet.start(settings, Roles { ingress: true, ..NONE }).await.ingress.unwrap());
            }
            for settings in &settings[2..5] {
                fleet.start(settings, Roles { worker: true, ..NONE }).await;
            }
            let gateway = fleet.start(&settings[5], Roles { gateway: true, ..NONE }).await.gateway.unwrap();
            play(&flows, &ingresses, &fleet.clock, form).await;
            wait_for_the_end(&database).await;
            let shown = join_all((0..flows.len()).map(|index| calls_of(gateway, index))).await;
            fleet.end().await;
            assert_eq!(app::differences(&settings[0], &Scope::default()).await.unwrap(), []);
            assert_eq!(postgres::value::<i64>(&database, postgres::WRONG_STATISTICS).await, 0);
            shown
        });
        for (flow, calls) in flows.iter().zip(&shown) {
            wrong.extend(
                differences_as_shown(flow, calls, Leniency::default()).into_iter().map(|it| format!("{} (form {form}): {it}", flow.name)),
            );
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
