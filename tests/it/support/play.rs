//! Call flows played against a running service: real requests, and a clock that the test sets, so
//! that no test waits as long as its flows take.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cordboard::config::Settings;
use cordboard::domain::time::{At, Span};
use cordboard::port::clock::Clock;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::net::TcpSocket;

use super::flow::{self, Event, Flow};
use super::http::{self, KeptAlive};
use super::overlay::{EPOCH, mac, place};

/// Longer than any rule waits, in microseconds.
const AFTER_ALL: i64 = 24 * 3_600 * 1_000_000;
/// Requests of one instant are received microseconds apart, and some flows wait exactly as long as
/// a rule does. From each instant to the next a little more time passes than the flow says, so that
/// the microseconds do not decide.
const MORE: i64 = 500;

/// A clock that the test sets, in microseconds since the flows began. Every process that opens its
/// file reads the same time.
pub struct HandClock(File);

impl HandClock {
    /// The clock in this file; a new one shows zero.
    pub fn at(path: &Path) -> HandClock {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .unwrap();
        file.set_len(size_of::<i64>() as u64).unwrap();

        HandClock(file)
    }

    pub fn set(&self, micros: i64) {
        self.0.write_all_at(&micros.to_ne_bytes(), 0).unwrap();
    }

    fn read(&self) -> i64 {
        let mut bytes = [0; size_of::<i64>()];
        self.0.read_exact_at(&mut bytes, 0).unwrap();

        i64::from_ne_bytes(bytes)
    }
}

impl Clock for HandClock {
    fn now(&self) -> At {
        At(EPOCH + self.read())
    }

    fn steady(&self) -> Span {
        Span(self.read())
    }
}

/// The site of a flow: every flow has its own.
pub fn site(index: usize) -> String {
    format!("flow-{index}")
}

/// The address of the phones of a flow.
pub fn address(index: usize) -> IpAddr {
    let network = u8::try_from(1 + index / 250).unwrap();
    let host = u8::try_from(1 + index % 250).unwrap();

    Ipv4Addr::new(127, 0, network, host).into()
}

/// Writes the settings of a service for these flows, each with its own site. Further settings are
/// in `more`.
pub fn write_settings(flows: &[Flow], data: &Path, more: &str) -> PathBuf {
    // The flows use the same phones: together they report more than one phone may. A connection is
    // quiet while the others report, on a slow machine for long.
    let mut text = format!(
        r#"data_dir = "{}"

[gateway]
listen = "127.0.0.1:0"

[operations]
listen = "127.0.0.1:0"

[ingress]
listen = "127.0.0.1:0"
tick_ms = 5
head_timeout_ms = 600000
per_device_per_second_max = 1000000
per_device_burst_max = 1000000
"#,
        data.display()
    );
    for (index, flow) in flows.iter().enumerate() {
        let site = site(index);
        let address = address(index);
        let policy = &flow.policy;
        let networks = format!("[ingress.sites.{site}]\nnetworks = [\"{address}/32\"]");
        writeln!(text, "{networks}\n[policy.site.{site}]\n{policy}").unwrap();
    }
    text += more;

    let file = data.join("settings.toml");
    std::fs::write(&file, text).unwrap();

    file
}

pub fn settings(file: &Path) -> Settings {
    Settings::load(Some(file), []).unwrap()
}

/// The connection of all phones of a flow.
struct Phones {
    connection: KeptAlive,
    flow: Flow,
}

impl Phones {
    async fn connect(from: IpAddr, to: SocketAddr, flow: Flow) -> Phones {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        let socket = socket.connect(to).await.unwrap();

        Phones {
            connection: KeptAlive::on(socket),
            flow,
        }
    }

    async fn report(&mut self, event: &Event) {
        let mac = mac(place(&self.flow, &event.phone), 2);
        let local = &self.flow.phones[&event.phone];
        let remote = match event.remote.as_str() {
            "-" => "anonymous",
            "_" => "$remote",
            named => named,
        };
        // Escaped: the ingress closes a connection after a line that it repairs.
        let target = format!(
            "/gs/cti/{}?m={mac}&l={local}&r={remote}&c={}.{}@h&n=John%20%22J%22%20Doe",
            event.name, event.phone, event.leg
        );

        let (status, body) = self.connection.get(&target).await.unwrap();
        assert_eq!(status, 200, "{}: {target}: {body}", self.flow.name);
    }
}

/// Plays all flows at once: requests of one instant are sent at that instant, those of a flow in
/// their order. The phones of a flow report to one of the ingresses.
pub async fn play(flows: &[Flow], ingresses: &[SocketAddr], clock: &HandClock, form: usize) {
    let end = play_at_pace(flows, ingresses, form, async |micros| clock.set(micros)).await;

    clock.set(end);
}

/// The same where `advance` moves the clock to each instant: a clock that runs ahead of a slow
/// ingress makes its events late. Returns an instant at which no rule waits any more.
pub async fn play_at_pace(
    flows: &[Flow],
    ingresses: &[SocketAddr],
    form: usize,
    mut advance: impl AsyncFnMut(i64),
) -> i64 {
    let mut due: BTreeMap<i64, Vec<(usize, Event)>> = BTreeMap::new();
    for (index, flow) in flows.iter().enumerate() {
        for event in flow::expand(&flow.events(), |forms| form % forms) {
            due.entry(event.at).or_default().push((index, event));
        }
    }

    let mut phones = Vec::new();
    for (index, flow) in flows.iter().enumerate() {
        let ingress = ingresses[index % ingresses.len()];
        phones.push(Phones::connect(address(index), ingress, flow.clone()).await);
    }

    let mut now = 0;
    for (more, (at, events)) in (0..).map(|step| step * MORE).zip(due) {
        now = at * 1_000 + more;
        advance(now).await;

        let mut of_flow: BTreeMap<usize, Vec<Event>> = BTreeMap::new();
        for (index, event) in events {
            of_flow.entry(index).or_default().push(event);
        }
        let reporting = phones
            .iter_mut()
            .enumerate()
            .filter_map(|(index, phones)| Some((phones, of_flow.remove(&index)?)));
        join_all(reporting.map(async |(phones, events)| {
            for event in &events {
                phones.report(event).await;
            }
        }))
        .await;
    }

    now + AFTER_ALL
}

/// The calls of a flow as the API shows them, in the order of their beginning.
pub async fn calls_of(gateway: SocketAddr, index: usize) -> Vec<Value> {
    let target = format!("/api/v1/calls?limit=200&site={}", site(index));
    let (status, body) = http::get(gateway, &target).await;
    assert_eq!(status, 200, "{body}");

    let mut calls = serde_json::from_str::<Value>(&body).unwrap()["calls"]
        .as_array()
        .unwrap()
        .clone();
    calls.reverse();

    calls
}
