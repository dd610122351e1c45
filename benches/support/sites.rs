//! Phones of many sites at work: every site has its own address, and its phones report over one
//! connection.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use cordboard::simulate::{Fleet, Report};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until};

use super::support::http::KeptAlive;

/// Events of one call of a fleet, on average.
const EVENTS_PER_CALL: f64 = 6.6;
/// A busy site: most of its phones are free.
const PHONES: u64 = 300;
const CALLS_PER_SECOND: f64 = 1.5;
/// Calls that begin before the measurement.
const WARM_UP: Duration = Duration::from_secs(40);

/// The request targets of each site, with their time.
pub struct Sites(Vec<Vec<(Duration, String)>>);

impl Sites {
    /// Busy sites that together report exactly at this rate.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a number of sites"
    )]
    pub fn at_rate(rate: f64, span: Duration) -> Sites {
        let sites = Sites::needed_for(rate);
        let calls_per_second = rate / EVENTS_PER_CALL / sites as f64;
        let mut reports: Vec<(usize, Report)> = (0..sites)
            .flat_map(|site| {
                let fleet = Fleet {
                    seed: site as u64 + 1,
                    phones: PHONES,
                    calls_per_second,
                    duration: WARM_UP + span * 2,
                };
                let warm = fleet
                    .reports()
                    .into_iter()
                    .skip_while(|report| report.at < WARM_UP);
                warm.map(move |report| (site, report))
            })
            .collect();
        reports.sort_by_key(|(_, report)| report.at);
        reports.truncate((rate * span.as_secs_f64()) as usize);

        let mut of_sites: Vec<Vec<(Duration, String)>> = vec![Vec::new(); sites];
        for (place, (site, report)) in reports.into_iter().enumerate() {
            let at = Duration::from_secs_f64(place as f64 / rate);
            let target = format!("/gs/cti/{}?{}", report.event, report.parameters());
            of_sites[site].push((at, target));
        }

        Sites(of_sites)
    }

    /// The number of busy sites that report at this rate.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of sites"
    )]
    pub fn needed_for(rate: f64) -> usize {
        (rate / EVENTS_PER_CALL / CALLS_PER_SECOND).ceil() as usize
    }

    /// Sends every report at its time; returns the time until each answer.
    pub async fn play(self, ingress: SocketAddr) -> Vec<Duration> {
        let began = Instant::now();
        let playing = self.0.into_iter().enumerate().map(async |(site, reports)| {
            let mut phones = connect(site, ingress).await;
            let mut took = Vec::with_capacity(reports.len());
            for (at, target) in reports {
                sleep_until(began + at).await;
                let sent = Instant::now();
                let (status, body) = phones.get(&target).await.unwrap();
                assert_eq!(status, 200, "{target}: {body}");
                took.push(sent.elapsed());
            }
            took
        });

        join_all(playing).await.concat()
    }
}

async fn connect(site: usize, ingress: SocketAddr) -> KeptAlive {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(address(site), 0)).unwrap();

    KeptAlive::on(socket.connect(ingress).await.unwrap())
}

fn address(site: usize) -> IpAddr {
    let [.., high, low] = u32::try_from(site + 1).unwrap().to_be_bytes();

    Ipv4Addr::new(127, 1, high, low).into()
}

/// Settings with the network of each site.
pub fn settings(sites: usize) -> String {
    (0..sites).fold(String::new(), |mut text, site| {
        let address = address(site);
        let _ = writeln!(
            text,
            "[ingress.sites.site-{site}]\nnetworks = [\"{address}/32\"]"
        );
        text
    })
}

/// A client of the event stream that only receives.
pub async fn receive_all(gateway: SocketAddr) {
    let mut socket = TcpStream::connect(gateway).await.unwrap();
    let request = b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
    socket.write_all(request).await.unwrap();

    let mut buffer = vec![0; 64 * 1024];
    while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}
