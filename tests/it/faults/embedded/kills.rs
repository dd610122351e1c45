//! Kills and stops under load: every event that was answered with 200 is stored, once.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::support::http::KeptAlive;
use crate::support::service::{Service, event_id};
use crate::support::sqlite::{assert_no_difference, stored_events};
use crate::support::wait::{PATIENCE, within};

const ENDS: usize = 200;
const PHONES: usize = 4;

/// The target of one report of a phone: with every five of them two calls begin and end.
fn target(phone: usize, step: usize) -> String {
    let event = ["incoming", "answered", "hangup", "incoming", "missed"][step % 5];
    let call = step / 5 * 2 + usize::from(step % 5 > 2);
    let remote = format!("+4930{}{call:07}", phone / 2);

    format!(
        "/gs/cti/{event}?mac=000b8200000{phone}&local=20{phone}&callId={phone}-{call}\
         &remote={remote}"
    )
}

/// Reports until the service is gone. Returns the number of requests.
async fn report(
    ingress: SocketAddr,
    phone: usize,
    round: usize,
    accepted: UnboundedSender<String>,
) -> usize {
    let Ok(mut connection) = KeptAlive::try_connect(ingress).await else {
        return 0;
    };

    let mut sent = 0;
    for step in round * 1_000.. {
        sent += 1;
        match connection.get(&target(phone, step)).await {
            Ok((status, body)) => {
                assert_eq!(status, 200, "{body}");
                accepted.send(event_id(&body)).unwrap();
            }
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::TimedOut, "{error}");
                break;
            }
        }
    }

    sent
}

/// The phones of one life of the service.
struct Phones {
    /// Ids of accepted events; closed when the last phone has ended.
    accepted: UnboundedReceiver<String>,
    phones: Vec<JoinHandle<usize>>,
}

impl Phones {
    fn start(ingress: SocketAddr, round: usize) -> Phones {
        let (sender, accepted) = unbounded_channel();
        let phones = (0..PHONES)
            .map(|phone| tokio::spawn(report(ingress, phone, round, sender.clone())))
            .collect();

        Phones { accepted, phones }
    }

    /// The next accepted event; none when all phones have ended.
    async fn next(&mut self) -> Option<String> {
        within(PATIENCE, "an accepted event", self.accepted.recv()).await
    }

    /// Waits for the end of the phones, and returns the number of their requests.
    async fn end(self) -> usize {
        let mut sent = 0;
        for phone in self.phones {
            sent += within(PATIENCE, "the end of a phone", phone).await.unwrap();
        }

        sent
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_ends_the_process_no_accepted_event_is_lost_or_doubled() {
    let data = tempfile::tempdir().unwrap();
    let mut accepted = Vec::new();
    let mut sent = 0;

    for end in 0..ENDS {
        let service = Service::start(data.path()).await;
        let mut phones = Phones::start(service.ingress, end);

        // The moment of the end is a number of accepted events, different every time: no clock
        // decides.
        for _ in 0..=(end * 37) % 40 {
            accepted.extend(phones.next().await);
        }
        // Every fifth end is a stop, which must succeed.
        if end % 5 == 4 {
            service.stop().await;
        } else {
            service.kill().await;
        }

        while let Some(event) = phones.next().await {
            accepted.push(event);
        }
        sent += phones.end().await;
    }
    Service::start(data.path()).await.stop().await;

    let stored = stored_events(data.path()).await;
    let unique: HashSet<&String> = stored.iter().collect();
    assert_eq!(unique.len(), stored.len(), "no event is stored twice");
    let lost = accepted.iter().filter(|id| !unique.contains(id)).count();
    assert_eq!(lost, 0, "of {} accepted events are lost", accepted.len());
    assert!(
        stored.len() <= sent,
        "only events that were sent are stored"
    );
    assert_no_difference(data.path()).await;
}
