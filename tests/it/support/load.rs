//! Phones that report as many events as a test allows, and keep accounts of their own: the accepted
//! events, and the expected outcome of each call. The check of the database is plain SQL, and knows
//! nothing of how the program decides.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use sqlx::{Connection, PgConnection};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cluster::Cluster;
use super::http;
use super::postgres;
use super::service::event_id;
use super::wait::{PATIENCE, eventually_count, within};

/// Ids shown of missing events when a test fails.
const SHOWN: usize = 10;

/// Conditions that no row may fulfil, whatever happened.
const WRONG: [(&str, &str); 9] = [
    (
        "numbers with more or fewer calls than one",
        "SELECT count(*)
         FROM (SELECT remote FROM call_events GROUP BY remote) AS reported
         WHERE (SELECT count(*) FROM call_logs WHERE from_number = remote) <> 1",
    ),
    (
        "calls from numbers that did not call",
        "SELECT count(*)
         FROM call_logs
         WHERE from_number NOT IN (SELECT remote FROM call_events)",
    ),
    (
        "answers that became something else",
        "SELECT count(*)
         FROM (SELECT remote FROM call_events WHERE event = 'answered' GROUP BY remote) AS answered
         JOIN call_logs ON from_number = remote
         WHERE outcome IS DISTINCT FROM 'answered' OR answered_by IS NULL",
    ),
    (
        "unanswered calls that are not missed",
        "SELECT count(*)
         FROM call_logs
         WHERE outcome IS DISTINCT FROM 'missed'
           AND from_number NOT IN (SELECT remote FROM call_events WHERE event = 'answered')",
    ),
    (
        "missed calls without their row, or with one too many",
        "SELECT count(*)
         FROM call_logs AS logs
         WHERE (outcome = 'missed') <> (
             SELECT count(*) = 1
             FROM missed_call_logs AS missed
             WHERE missed.call_id = logs.call_id AND NOT retracted
         )",
    ),
    (
        "missed calls that were announced and retracted",
        "SELECT count(*) FROM missed_call_logs WHERE retracted",
    ),
    (
        "statistics, outcomes or participants that differ from the logs",
        postgres::WRONG_COPIES,
    ),
    (
        "commits of an owner that had been replaced",
        "SELECT count(*)
         FROM commit_audit AS earlier
         JOIN commit_audit AS later ON earlier.part = later.part AND earlier.id < later.id
         WHERE earlier.epoch > later.epoch",
    ),
    ("messages set aside", "SELECT count(*) FROM dead_events"),
];

/// Events of numbers that have not one call each, for the message of a test that fails.
const ODD_NUMBERS: &str = "
SELECT coalesce(
    string_agg(
        concat_ws(' ', remote, event, to_timestamp(received_at / 1e6), event_id),
        chr(10) ORDER BY received_at
    ),
    ''
)
FROM call_events
WHERE (SELECT count(*) FROM call_logs WHERE from_number = remote) <> 1";

/// Every commit leaves a row, in the order in which commits became visible.
const AUDIT: [&str; 3] = [
    "CREATE TABLE commit_audit (
         id bigserial PRIMARY KEY,
         part integer NOT NULL,
         epoch bigint NOT NULL,
         commit_no bigint NOT NULL
     )",
    "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         INSERT INTO commit_audit (part, epoch, commit_no)
         VALUES (NEW.part, NEW.epoch, NEW.commit_no);
         RETURN NEW;
     END $$",
    "CREATE TRIGGER audit AFTER UPDATE OF commit_no ON partition_owner
     FOR EACH ROW EXECUTE FUNCTION audit()",
];

/// Phones at work, one task for each ingress.
pub struct Load {
    pace: Arc<watch::Sender<Pace>>,
    /// The address of each ingress; none while it is down.
    ingresses: Vec<Arc<watch::Sender<Option<SocketAddr>>>>,
    phones: Vec<JoinHandle<Sent>>,
}

/// How many requests may be sent, and were.
#[derive(Default)]
struct Pace {
    allowed: usize,
    sent: usize,
    stop: bool,
}

/// The accounts of the phones.
#[derive(Default)]
pub struct Sent {
    pub accepted: Vec<String>,
    /// Requests that were answered with anything but 200.
    pub refused: usize,
    /// Number and event of requests whose ingress was killed before it answered, and which were
    /// sent once more: they may have become durable, or not.
    pub unanswered: Vec<(String, String)>,
}

impl Load {
    /// One phone for each ingress, each calling from numbers of its own.
    pub fn start(ingresses: &[SocketAddr]) -> Load {
        let pace = Arc::new(watch::Sender::new(Pace::default()));
        let ingresses: Vec<_> = ingresses
            .iter()
            .map(|address| Arc::new(watch::Sender::new(Some(*address))))
            .collect();
        let phones = ingresses
            .iter()
            .enumerate()
            .map(|(phone, ingress)| {
                tokio::spawn(play(phone, Arc::clone(ingress), Arc::clone(&pace)))
            })
            .collect();

        Load {
            pace,
            ingresses,
            phones,
        }
    }

    /// Lets so many more requests be sent, and waits until they are answered.
    pub async fn more(&self, requests: usize) {
        let until = self.allow(requests);
        let mut pace = self.pace.subscribe();

        let answered = pace.wait_for(|pace| pace.sent >= until);
        within(PATIENCE, &format!("{requests} answered requests"), answered)
            .await
            .unwrap();
    }

    /// Lets so many more requests be sent. Returns how many will have been.
    pub fn allow(&self, requests: usize) -> usize {
        self.pace
            .send_modify(|pace| pace.allowed = pace.sent + requests);

        self.pace.borrow().allowed
    }

    /// An ingress is about to be killed, or is back; its phones wait meanwhile.
    pub fn moved(&self, ingress: usize, to: Option<SocketAddr>) {
        self.ingresses[ingress].send_replace(to);
    }

    /// How many requests were sent and answered.
    pub fn sent(&self) -> usize {
        self.pace.borrow().sent
    }

    pub async fn end(self) -> Sent {
        self.pace.send_modify(|pace| pace.stop = true);

        let mut all = Sent::default();
        for phone in self.phones {
            let sent = within(PATIENCE, "the end of a phone", phone).await.unwrap();
            all.accepted.extend(sent.accepted);
            all.refused += sent.refused;
            all.unanswered.extend(sent.unanswered);
        }

        all
    }
}

async fn play(
    phone: usize,
    ingress: Arc<watch::Sender<Option<SocketAddr>>>,
    pace: Arc<watch::Sender<Pace>>,
) -> Sent {
    let mut all = Sent::default();
    let mut allowed = pace.subscribe();

    for call in 0.. {
        let go_on = allowed
            .wait_for(|pace| pace.stop || pace.sent < pace.allowed)
            .await
            .is_ok_and(|pace| !pace.stop);
        if !go_on {
            break;
        }

        let events: &[&str] = if call % 3 == 0 {
            &["incoming", "missed"]
        } else {
            &["incoming", "answered", "hangup"]
        };
        // One number for one call.
        let remote = format!("+49{phone}{call:07}");
        for event in events {
            let extension = call % 20;
            let target = format!(
                "/gs/cti/{event}?mac=000b8200{phone:02}{extension:02}&local=2{extension:02}\
                 &remote={remote}&c={call}"
            );
            let (status, body) = send(&ingress, &target, || {
                all.unanswered.push((remote.clone(), (*event).to_owned()));
            })
            .await;

            pace.send_modify(|pace| pace.sent += 1);
            if status == 200 {
                all.accepted.push(event_id(&body));
            } else {
                all.refused += 1;
            }
        }
    }

    all
}

/// Sends a request until an ingress has answered it. `unanswered` is called each time when one was
/// killed over it.
async fn send(
    ingress: &watch::Sender<Option<SocketAddr>>,
    target: &str,
    mut unanswered: impl FnMut(),
) -> (u16, String) {
    let mut place = ingress.subscribe();

    loop {
        let found = within(PATIENCE, "an ingress", place.wait_for(Option::is_some)).await;
        let address = found.unwrap().unwrap();

        match http::try_get(address, target).await {
            Ok(answer) => return answer,
            Err(error) => {
                assert_ne!(*ingress.borrow(), Some(address), "{target}: {error}");
                unanswered();
            }
        }
    }
}

impl Cluster {
    /// From now on every commit leaves a row.
    pub async fn audit(&self) {
        for sql in AUDIT {
            postgres::execute(&self.database, sql.to_owned()).await;
        }
    }

    /// Waits until everything accepted is stored and decided, and checks all of it.
    pub async fn check(&self, sent: &Sent) {
        assert_eq!(
            sent.refused, 0,
            "every request is answered with 200, whatever is away"
        );
        let accepted: BTreeSet<&str> = sent.accepted.iter().map(String::as_str).collect();
        assert_eq!(accepted.len(), sent.accepted.len(), "an id is given once");

        self.until_all_stored(&accepted).await;
        self.check_unanswered(sent, &accepted).await;
        self.until("SELECT count(*) FROM call_logs WHERE outcome IS NULL", 0)
            .await;

        let mut connection = PgConnection::connect(&self.database).await.unwrap();
        for (what, sql) in WRONG {
            let wrong: i64 = sqlx::query_scalar(sql)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            let odd: String = sqlx::query_scalar(ODD_NUMBERS)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(wrong, 0, "{what}\n{odd}");
        }
        assert_eq!(self.output_of(&["rebuild", "--diff"]).await, "");
    }

    async fn until_all_stored(&self, accepted: &BTreeSet<&str>) {
        let missing = async || -> Vec<&str> {
            let stored = self.stored_events().await;
            let stored: BTreeSet<&str> = stored.iter().map(|event| event.0.as_str()).collect();
            let lost = accepted.iter().filter(|id| !stored.contains(**id));
            lost.copied().collect()
        };

        eventually_count(
            self.patience,
            "accepted events that are stored",
            accepted.len(),
            async || accepted.len() - missing().await.len(),
            async || {
                let missing = missing().await;
                let first = &missing[..missing.len().min(SHOWN)];
                format!("{} are missing: {first:?}\n{}", missing.len(), self.logs())
            },
        )
        .await;
    }

    /// An event that is stored and was not accepted is a request that was not answered: it was sent
    /// before others that were, so it is stored by now.
    async fn check_unanswered(&self, sent: &Sent, accepted: &BTreeSet<&str>) {
        let mut unanswered = sent.unanswered.clone();

        for (id, remote, event) in self.stored_events().await {
            if accepted.contains(id.as_str()) {
                continue;
            }
            let request = (remote, event);
            let known = unanswered.iter().position(|known| *known == request);
            assert!(known.is_some(), "{id} is stored and was not sent");
            known.map(|at| unanswered.swap_remove(at));
        }
    }

    /// Id, number and name of every stored event.
    async fn stored_events(&self) -> Vec<(String, String, String)> {
        let mut connection = PgConnection::connect(&self.database).await.unwrap();

        sqlx::query_as("SELECT event_id::text, remote, event FROM call_events")
            .fetch_all(&mut connection)
            .await
            .unwrap()
    }
}
