//! Phones that report as much as they are told to, and keep books of their own: what was accepted,
//! and what each call must have become. The check of the database is plain SQL, and knows nothing
//! of how the program decides.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::cluster::Cluster;
use super::ledger::block_on;
use super::postgres;
use super::service::Service;

/// What must be true of the tables, whatever happened. Each counts what is wrong.
const WRONG: [(&str, &str); 9] = [
    (
        "numbers with more or fewer calls than one",
        "SELECT count(*) FROM (SELECT remote FROM call_events GROUP BY remote) f
        WHERE (SELECT count(*) FROM call_logs WHERE from_number = remote) <> 1",
    ),
    ("calls that nobody made", "SELECT count(*) FROM call_logs WHERE from_number NOT IN (SELECT remote FROM call_events)"),
    (
        "answers that became something else",
        "SELECT count(*) FROM (SELECT remote FROM call_events WHERE event = 'answered' GROUP BY remote) f
        JOIN call_logs ON from_number = remote WHERE outcome IS DISTINCT FROM 'answered' OR answered_by IS NULL",
    ),
    (
        "unanswered calls that are not missed",
        "SELECT count(*) FROM call_logs WHERE outcome IS DISTINCT FROM 'missed'
        AND from_number NOT IN (SELECT remote FROM call_events WHERE event = 'answered')",
    ),
    (
        "missed calls without their row, or with one too many",
        "SELECT count(*) FROM call_logs l
        WHERE (outcome = 'missed') <> (SELECT count(*) = 1 FROM missed_call_logs m WHERE m.call_id = l.call_id AND NOT retracted)",
    ),
    ("missed calls that were announced and taken back", "SELECT count(*) FROM missed_call_logs WHERE retracted"),
    ("statistics, outcomes or participants that are not what the logs say", postgres::WRONG_COPIES),
    (
        "commits of an owner that had been replaced",
        "SELECT count(*) FROM commit_audit a JOIN commit_audit b ON a.part = b.part AND a.id < b.id AND a.epoch > b.epoch",
    ),
    ("messages set aside", "SELECT count(*) FROM dead_events"),
];

/// What phones said from numbers that have not one call each, for whoever has to find out why.
const ODD_ONES: &str = "SELECT coalesce(string_agg(concat_ws(' ', remote, event, to_timestamp(received_at / 1e6), event_id), chr(10) ORDER BY received_at), '')
    FROM call_events WHERE (SELECT count(*) FROM call_logs WHERE from_number = remote) <> 1";

/// Every commit leaves a line in the order in which it became true.
const AUDIT: [&str; 3] = [
    "CREATE TABLE commit_audit (id bigserial PRIMARY KEY, part integer NOT NULL, epoch bigint NOT NULL, commit_no bigint NOT NULL)",
    "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO commit_audit (part, epoch, commit_no) VALUES (NEW.part, NEW.epoch, NEW.commit_no); RETURN NEW; END $$",
    "CREATE TRIGGER audit AFTER UPDATE OF commit_no ON partition_owner FOR EACH ROW EXECUTE FUNCTION audit()",
];

/// Phones at work.
pub struct Load {
    pace: Arc<Pace>,
    ingresses: Vec<Arc<Place>>,
    phones: Vec<JoinHandle<Sent>>,
}

/// Where an ingress listens, as long as it lives.
struct Place {
    at: Mutex<Option<SocketAddr>>,
    changed: Condvar,
}

impl Place {
    fn is(at: SocketAddr) -> Place {
        Place {
            at: Mutex::new(Some(at)),
            changed: Condvar::new(),
        }
    }

    /// Waits until it lives.
    fn find(&self) -> SocketAddr {
        let at = self
            .changed
            .wait_while(self.at.lock().unwrap(), |at| at.is_none())
            .unwrap();
        at.unwrap()
    }
}

/// How much may be sent, and has been.
#[derive(Default)]
struct Pace {
    counts: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Default)]
struct Counts {
    allowed: usize,
    sent: usize,
    stop: bool,
}

impl Pace {
    /// Waits until something more may be sent. Returns whether to go on at all.
    fn may_send(&self) -> bool {
        let counts = self.counts.lock().unwrap();
        let counts = self
            .changed
            .wait_while(counts, |counts| {
                !counts.stop && counts.sent >= counts.allowed
            })
            .unwrap();
        !counts.stop
    }

    fn sent(&self) {
        self.counts.lock().unwrap().sent += 1;
        self.changed.notify_all();
    }
}

/// What came of it.
#[derive(Default)]
pub struct Sent {
    pub accepted: Vec<String>,
    /// Requests that were answered with anything but 200.
    pub refused: usize,
    /// Number and event of requests that an ingress did not live to answer, which were sent once
    /// more: it may have kept them, or not.
    pub unanswered: Vec<(String, String)>,
}

impl Load {
    /// One phone for each address, each calling from numbers of its own.
    pub fn start(ingresses: &[SocketAddr]) -> Load {
        let pace = Arc::<Pace>::default();
        let ingresses: Vec<_> = ingresses
            .iter()
            .map(|at| Arc::new(Place::is(*at)))
            .collect();
        let phones = ingresses.iter().enumerate().map(|(phone, ingress)| {
            let (pace, ingress) = (Arc::clone(&pace), Arc::clone(ingress));
            std::thread::spawn(move || play(phone, &ingress, &pace))
        });
        Load {
            phones: phones.collect(),
            ingresses,
            pace,
        }
    }

    /// Lets so many more requests be sent, and waits until they are answered.
    pub fn more(&self, requests: usize) {
        let until = self.allow(requests);
        let counts = self.pace.counts.lock().unwrap();
        let _counts = self
            .pace
            .changed
            .wait_while(counts, |counts| counts.sent < until)
            .unwrap();
    }

    /// Lets so many more requests be sent. Returns how many will have been.
    pub fn allow(&self, requests: usize) -> usize {
        let mut counts = self.pace.counts.lock().unwrap();
        counts.allowed = counts.sent + requests;
        self.pace.changed.notify_all();
        counts.allowed
    }

    /// An ingress is about to be gone, or is back; its phones wait meanwhile.
    pub fn moved(&self, ingress: usize, to: Option<SocketAddr>) {
        *self.ingresses[ingress].at.lock().unwrap() = to;
        self.ingresses[ingress].changed.notify_all();
    }

    /// How much has been sent and answered.
    pub fn sent(&self) -> usize {
        self.pace.counts.lock().unwrap().sent
    }

    pub fn end(self) -> Sent {
        self.pace.counts.lock().unwrap().stop = true;
        self.pace.changed.notify_all();
        let mut all = Sent::default();
        for phone in self.phones {
            let sent = phone.join().unwrap();
            all.accepted.extend(sent.accepted);
            all.refused += sent.refused;
            all.unanswered.extend(sent.unanswered);
        }
        all
    }
}

fn play(phone: usize, ingress: &Place, pace: &Pace) -> Sent {
    let mut all = Sent::default();
    let mut calls = 0..;
    while pace.may_send() {
        let Some(call) = calls.next() else { break };
        let events: &[&str] = if call % 3 == 0 {
            &["incoming", "missed"]
        } else {
            &["incoming", "answered", "hangup"]
        };
        for event in events {
            // One number for one call.
            let remote = format!("+49{phone}{call:07}");
            let target = format!(
                "/gs/cti/{event}?mac=000b8200{phone:02}{:02}&local=2{:02}&remote={remote}&c={call}",
                call % 20,
                call % 20
            );
            let (status, body) = loop {
                let address = ingress.find();
                match Service::try_get(address, &target) {
                    Ok(answer) => break answer,
                    Err(error) if *ingress.at.lock().unwrap() == Some(address) => {
                        panic!("{target}: {error}")
                    }
                    Err(_) => all.unanswered.push((remote.clone(), (*event).to_owned())),
                }
            };
            pace.sent();
            match status {
                200 => all.accepted.push(
                    serde_json::from_str::<Value>(&body).unwrap()["event_id"]
                        .as_str()
                        .unwrap()
                        .to_owned(),
                ),
                _ => all.refused += 1,
            }
        }
    }
    all
}

impl Cluster {
    /// From now on every commit is written down.
    pub fn audit(&self) {
        block_on(async {
            let mut connection = PgConnection::connect(&self.database).await.unwrap();
            for sql in AUDIT {
                sqlx::query(sql).execute(&mut connection).await.unwrap();
            }
        });
    }

    /// Waits until everything accepted is stored and decided, and checks all of it.
    pub fn check(&self, sent: &Sent) {
        assert_eq!(
            sent.refused, 0,
            "every request is answered with 200, whatever is away"
        );
        block_on(async {
            let mut connection = PgConnection::connect(&self.database).await.unwrap();
            let accepted: BTreeSet<&String> = sent.accepted.iter().collect();
            assert_eq!(accepted.len(), sent.accepted.len(), "an id is given once");
            let mut extra = loop {
                let stored: Vec<(String, String, String)> =
                    sqlx::query_as("SELECT event_id::text, remote, event FROM call_events")
                        .fetch_all(&mut connection)
                        .await
                        .unwrap();
                let ours = stored
                    .iter()
                    .filter(|(id, ..)| accepted.contains(id))
                    .count();
                // What an ingress kept without having answered was sent before what it answered
                // later: it is there by now.
                if ours == accepted.len() {
                    break stored.into_iter().filter(|(id, ..)| !accepted.contains(id));
                }
            };
            // Each of them is a request that nobody heard the answer of.
            let mut unanswered = sent.unanswered.clone();
            assert!(
                extra.all(|(_, remote, event)| {
                    let place = unanswered
                        .iter()
                        .position(|known| *known == (remote.clone(), event.clone()));
                    place.map(|place| unanswered.swap_remove(place)).is_some()
                }),
                "something is stored that nobody sent"
            );
        });
        self.until("SELECT count(*) FROM call_logs WHERE outcome IS NULL", 0);
        block_on(async {
            let mut connection = PgConnection::connect(&self.database).await.unwrap();
            for (what, sql) in WRONG {
                let wrong: i64 = sqlx::query_scalar(sql)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap();
                let odd_ones = sqlx::query_scalar::<_, String>(ODD_ONES);
                assert_eq!(
                    wrong,
                    0,
                    "{what}\n{}",
                    odd_ones.fetch_one(&mut connection).await.unwrap()
                );
            }
        });
        assert_eq!(self.told(&["rebuild", "--diff"]), "");
    }
}
