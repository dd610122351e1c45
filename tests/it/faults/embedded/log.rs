//! The log: it names no person, and the service goes on when it cannot be written.

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::http::{self, KeptAlive};
use crate::support::service::{Service, command, output};
use crate::support::wait::{PATIENCE, eventually, within};

const CANARY_SETTINGS: [(&str, &str); 2] = [
    (
        "INGRESS__KEYS__A__SECRET",
        "canary-secret-of-thirty-two-bytes",
    ),
    ("LOG__FILTER", "trace"),
];

/// Sends requests with a number and a name, accepted and rejected ones.
async fn send_canaries(service: &Service, token: &str) {
    let number = "remote=+4930987654321";
    let mine = "mac=000b82000001";

    for (event, expected) in [
        (
            format!("{token}/incoming?{mine}&local=201&{number}&n=Canary Bird&c=1"),
            200,
        ),
        (
            format!("{token}/answered?{mine}&local=201&{number}&c=1"),
            200,
        ),
        (
            format!("{token}/incoming?mac=000b82000002&{number}&n=Canary Bird"),
            404,
        ),
        (format!("{token}/incoming?{mine}&{number}%00"), 200),
        (format!("incoming?{number}&n=Canary Bird"), 404),
    ] {
        let (status, _) = http::get(service.ingress, &format!("/gs/cti/{event}")).await;
        assert_eq!(status, expected, "{event}");
    }

    // No parser accepts this line.
    let mut phone = KeptAlive::connect(service.ingress).await;
    let line = b"\x01 +4930987654321 Canary\r\n\r\n";
    phone.send(line).await.unwrap();
    let (status, _) = phone.answer().await.unwrap();
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_number_no_name_and_no_token_is_ever_logged_or_counted() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["phone-token", "000b82000001"];
    let printed = output(command(data.path(), &arguments, &CANARY_SETTINGS)).await;
    let token = String::from_utf8(printed.stdout).unwrap().trim().to_owned();
    let service = Service::begin(command(data.path(), &["serve"], &CANARY_SETTINGS)).await;
    service.wait_until_ready().await;
    let mut events = service.watch(None).await;

    send_canaries(&service, &token).await;
    let metrics = service.metrics().await;
    let (_, answered) = events.until("call.answered").await;
    assert_eq!(
        answered["call"]["from"]["name"], "Canary Bird",
        "the interfaces show it"
    );
    service.signal(Signal::TERM);
    let (code, log) = service.ended().await;
    assert_eq!(code, Some(0));

    for canary in [
        "4930987654321",
        "Canary",
        "canary-secret-of-thirty-two-bytes",
        &token,
    ] {
        let found: Vec<&String> = log.iter().filter(|line| line.contains(canary)).collect();
        assert!(
            found.is_empty() && !metrics.contains(canary),
            "{canary}: {found:#?}"
        );
    }
}

/// The loopback addresses at which a process listens, as the kernel lists them.
fn listening(process: u32) -> Vec<SocketAddr> {
    let sockets: HashSet<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| {
            let inode = link.to_str()?.strip_prefix("socket:[")?;
            inode.strip_suffix(']').map(str::to_owned)
        })
        .collect();
    let table = fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap();

    table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns[3] == "0A" && sockets.contains(columns[9]))
        .map(|columns| {
            let port = columns[1].rsplit(':').next().unwrap();
            ([127, 0, 0, 1], u16::from_str_radix(port, 16).unwrap()).into()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_be_written_ends_nothing() {
    let data = tempfile::tempdir().unwrap();
    let full = || {
        let file = File::options().write(true).open("/dev/full").unwrap();
        Stdio::from(file)
    };
    let mut child = command(data.path(), &["serve"], &[("LOG__FORMAT", "json")])
        .stdout(full())
        .stderr(full())
        .spawn()
        .unwrap();
    let process = child.id().unwrap();

    // One of the three listeners answers with its readiness. Until then a request may be cut off,
    // when the answers that are given before the start is complete make way.
    let listeners = eventually(PATIENCE, "a process that is ready", async || {
        let listeners = listening(process);
        for address in &listeners {
            if let Ok((200, _)) = http::try_get(*address, "/readyz").await
                && listeners.len() == 3
            {
                return Ok(listeners);
            }
        }
        Err(format!("it listens at {listeners:?}"))
    })
    .await;
    for address in listeners {
        for _ in 0..50 {
            assert_ne!(http::get(address, "/nowhere").await.0, 200);
        }
    }

    assert!(child.try_wait().unwrap().is_none(), "the process goes on");
    within(PATIENCE, "the end of the process", child.kill())
        .await
        .unwrap();
}
