//! All call flows at once through the whole service: real requests, the journal, the worker, the database, the API. Only the clock is the
//! test's, so that the flows take as long as they take without anybody waiting.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on must fail, and its numbers are small")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cordboard::app::{self, Scope, Service, Stop, Surroundings};
use cordboard::config::Settings;
use cordboard::domain::time::{At, Span};
use cordboard::port::clock::Clock;
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use support::flow::{self, Event, Flow};
use support::ledger::block_on;
use support::overlay::{EPOCH, mac, place};
use support::verdict::{Leniency, differences_as_shown};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// Longer than any rule waits, in microseconds.
const AFTER_ALL: i64 = 24 * 3_600 * 1_000_000;
/// Requests of one instant are received microseconds apart, and some flows wait exactly as long as a rule does. From each instant to the
/// next a little more time passes than the flow says, so that the microseconds do not decide.
const MORE: i64 = 500;

/// A clock that shows what the test says, in microseconds since the flows began.
#[derive(Default)]
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> At {
        At(EPOCH + self.0.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Span {
        Span(self.0.load(Ordering::SeqCst))
    }
}

/// A flow is a site of its own, and its phones have an address of their own.
fn site(index: usize) -> String {
    format!("flow-{index}")
}

fn address(index: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 1 + (index / 250) as u8, 1 + (index % 250) as u8).into()
}

fn settings(flows: &[Flow], data: &std::path::Path) -> Settings {
    let mut text =
        format!("data_dir = \"{}\"\n[gateway]\nlisten = \"127.0.0.1:0\"\n[operations]\nlisten = \"127.0.0.1:0\"\n", data.display());
    // The flows use the same phones: together they report more than one phone may.
    text += "[ingress]\nlisten = \"127.0.0.1:0\"\ntick_ms = 5\nper_device_per_second_max = 1000000\nper_device_burst_max = 1000000\n";
    for (index, flow) in flows.iter().enumerate() {
        let _ = writeln!(text, "[ingress.sites.{}]\nnetworks = [\"{}/32\"]", site(index), address(index));
        let _ = writeln!(text, "[policy.site.{}]\n{}", site(index), flow.policy);
    }
    let file = data.join("settings.toml");
    std::fs::write(&file, text).unwrap();
    Settings::load(Some(&file), []).unwrap()
}

/// The connection of all phones of a flow.
struct Phones {
    socket: BufReader<TcpStream>,
    flow: Flow,
}

impl Phones {
    async fn connect(from: IpAddr, to: SocketAddr, flow: Flow) -> Phones {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        Phones { socket: BufReader::new(socket.connect(to).await.unwrap()), flow }
    }

    async fn report(&mut self, event: &Event) {
        let mac = mac(place(&self.flow, &event.phone), 2);
        let local = &self.flow.phones[&event.phone];
        // As a phone writes it: nothing is escaped but what would end the parameter.
        let remote = if event.remote == "-" { "anonymous" } else { &event.remote };
        let target = format!("/gs/cti/{}?m={mac}&l={local}&r={remote}&c={}.{}@h&n=John \"J\" Doe", event.name, event.phone, event.leg);
        let (status, body) = ask(&mut self.socket, &target).await;
        assert_eq!(status, 200, "{}: {target}: {body}", self.flow.name);
    }
}

async fn ask(socket: &mut BufReader<TcpStream>, target: &str) -> (u16, String) {
    socket.write_all(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.unwrap();
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let from = head.len();
        assert!(socket.read_line(&mut head).await.unwrap() > 0, "the connection ended: {head}");
        if let Some(value) = head[from..].to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), String::from_utf8(body).unwrap())
}

/// Lets every flow happen: what is due at one instant is sent at that instant, all flows at once, each in its own order.
async fn play(flows: &[Flow], ingress: SocketAddr, clock: &HandClock, form: usize) {
    let mut due: BTreeMap<i64, Vec<(usize, Event)>> = BTreeMap::new();
    for (index, flow) in flows.iter().enumerate() {
        for event in flow::expand(&flow.events(), |forms| form % forms) {
            due.entry(event.at).or_default().push((index, event));
        }
    }
    let mut phones = Vec::new();
    for (index, flow) in flows.iter().enumerate() {
        phones.push(Phones::connect(address(index), ingress, flow.clone()).await);
    }
    for (more, (at, events)) in (0..).map(|step| step * MORE).zip(due) {
        clock.0.store(at * 1_000 + more, Ordering::SeqCst);
        let mut of_flow: BTreeMap<usize, Vec<Event>> = BTreeMap::new();
        for (index, event) in events {
            of_flow.entry(index).or_default().push(event);
        }
        let reporting = phones.iter_mut().enumerate().filter_map(|(index, phones)| Some((phones, of_flow.remove(&index)?)));
        join_all(reporting.map(async |(phones, events)| {
            for event in &events {
                phones.report(event).await;
            }
        }))
        .await;
    }
    clock.0.fetch_add(AFTER_ALL, Ordering::SeqCst);
}

async fn calls_of(gateway: SocketAddr, index: usize) -> Vec<Value> {
    let mut socket = BufReader::new(TcpStream::connect(gateway).await.unwrap());
    let (status, body) = ask(&mut socket, &format!("/api/v1/calls?limit=200&site={}", site(index))).await;
    assert_eq!(status, 200, "{body}");
    let mut calls = serde_json::from_str::<Value>(&body).unwrap()["calls"].as_array().unwrap().clone();
    calls.reverse();
    calls
}

/// Reads the metrics until the worker has seen the end of all flows.
async fn wait_for_the_end(operations: SocketAddr) {
    let mut socket = BufReader::new(TcpStream::connect(operations).await.unwrap());
    loop {
        let (_, metrics) = ask(&mut socket, "/metrics").await;
        let value = |name: &str| -> f64 {
            let line = metrics.lines().find(|line| line.starts_with(name) && line.as_bytes()[name.len()] == b' ').unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        if value("cordboard_watermark_lag_seconds") < 3_600.0 && value("cordboard_calls_live") < 0.5 {
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
        let settings = settings(&flows, data.path());
        let shown: Vec<Vec<Value>> = block_on(async {
            let (clock, stop) = (Arc::new(HandClock::default()), Stop::default());
            let reread = Arc::new(|| panic!("nobody asked for it"));
            let surroundings =
                Surroundings { clock: Arc::clone(&clock) as Arc<dyn Clock>, metrics: metrics.clone(), reread, stop: stop.clone() };
            let service = Service::start(&settings, surroundings).await.unwrap().unwrap();
            let addresses = service.addresses;
            let running = tokio::spawn(service.run());
            play(&flows, addresses.ingress, &clock, form).await;
            wait_for_the_end(addresses.operations).await;
            let shown = join_all((0..flows.len()).map(|index| calls_of(addresses.gateway, index))).await;
            stop.ask();
            running.await.unwrap().unwrap();
            assert_eq!(app::differences(&settings, &Scope::default()).await.unwrap(), []);
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
