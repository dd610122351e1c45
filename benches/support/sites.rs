//! Phones of many sites at work: every site has an address of its own, and its phones report over
//! one connection.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use cordboard::simulate::{Fleet, Report};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::support::play::ask;

/// One call of a fleet reports about so many events.
const EVENTS_PER_CALL: f64 = 6.6;
/// A busy site: most of its phones are free.
const PHONES: u64 = 300;
const CALLS_PER_SECOND: f64 = 1.5;
/// Calls that begin before the measurement does.
const WARM_UP: Duration = Duration::from_secs(40);

/// What each site reports.
pub struct Sites(Vec<Vec<(Duration, String)>>);

impl Sites {
    /// So many busy sites as report exactly so much together.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a number of sites"
    )]
    pub fn at_rate(rate: f64, span: Duration) -> Sites {
        let sites = Sites::at_most(rate);
        let calls_per_second = rate / EVENTS_PER_CALL / sites as f64;
        let mut all: Vec<(usize, Report)> = Vec::new();
        for site in 0..sites {
            let fleet = Fleet {
                seed: site as u64 + 1,
                phones: PHONES,
                calls_per_second,
                duration: WARM_UP + span * 2,
            };
            all.extend(
                fleet
                    .reports()
                    .into_iter()
                    .skip_while(|report| report.at < WARM_UP)
                    .map(|report| (site, report)),
            );
        }
        all.sort_by_key(|(_, report)| report.at);
        all.truncate((rate * span.as_secs_f64()) as usize);
        let mut of_sites: Vec<Vec<(Duration, String)>> = vec![Vec::new(); sites];
        for (place, (site, report)) in all.into_iter().enumerate() {
            let at = Duration::from_secs_f64(place as f64 / rate);
            of_sites[site].push((
                at,
                format!("/gs/cti/{}?{}", report.event, report.parameters()),
            ));
        }
        Sites(of_sites)
    }

    /// How many sites report so much.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of sites"
    )]
    pub fn at_most(rate: f64) -> usize {
        (rate / EVENTS_PER_CALL / CALLS_PER_SECOND).ceil() as usize
    }

    /// Reports everything at its time. Returns how long each answer took.
    pub async fn play(self, to: SocketAddr) -> Vec<Duration> {
        let began = Instant::now();
        let playing = self.0.into_iter().enumerate().map(async |(site, reports)| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::new(address(site), 0)).unwrap();
            let mut socket = BufReader::new(socket.connect(to).await.unwrap());
            let mut took = Vec::with_capacity(reports.len());
            for (at, target) in reports {
                tokio::time::interval_at(began + at, WARM_UP).tick().await;
                let sent = Instant::now();
                let (status, body) = ask(&mut socket, &target).await;
                assert_eq!(status, 200, "{target}: {body}");
                took.push(sent.elapsed());
            }
            took
        });
        join_all(playing).await.concat()
    }
}

fn address(site: usize) -> IpAddr {
    let [.., high, low] = u32::try_from(site + 1).unwrap().to_be_bytes();
    Ipv4Addr::new(127, 1, high, low).into()
}

/// Settings by which an ingress tells these sites apart.
pub fn settings(sites: usize) -> String {
    (0..sites).fold(String::new(), |mut text, site| {
        let _ = writeln!(
            text,
            "[ingress.sites.site-{site}]\nnetworks = [\"{}/32\"]",
            address(site)
        );
        text
    })
}

/// A watcher of all notifications that only receives them.
pub async fn hear(people: SocketAddr) {
    let mut socket = TcpStream::connect(people).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(
        &mut socket,
        b"GET /api/v1/stream HTTP/1.1\r\nHost: h\r\n\r\n",
    )
    .await
    .unwrap();
    let mut heard = vec![0; 64 * 1024];
    while socket.read(&mut heard).await.is_ok_and(|read| read > 0) {}
}
