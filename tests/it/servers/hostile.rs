//! Hostile messages over the broker: they change no call, blame no other message, and let no time
//! pass.

use std::time::{SystemTime, UNIX_EPOCH};

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use crate::support::cluster::Cluster;
use crate::support::foreign::ForeignProgram;
use crate::support::service::Service;

const CALL: &str = "mac=000b82000001&local=201&remote=+4930111222&c=a";
/// The calls of a normal day.
const ANSWERED: &str = "SELECT count(*) FROM call_logs WHERE status = 'completed' \
    AND outcome = 'answered' AND concat(from_number, to_number) LIKE '%+4930111%'";
const MISSED: &str = "SELECT count(*) FROM call_logs WHERE status = 'completed' \
    AND outcome = 'missed' AND concat(from_number, to_number) LIKE '%+4930111%'";
const YEAR_US: i64 = 365 * 86_400 * 1_000_000;

/// Microseconds of this machine's clock, which stamps the events of the cluster.
#[expect(
    clippy::disallowed_methods,
    reason = "processes of this test read the clock of the machine"
)]
fn now() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();

    i64::try_from(passed.as_micros()).unwrap()
}

fn plain(timestamp: i64) -> Vec<u8> {
    let report = json!({
        "remote": "+49306660666",
        "local": "666",
        "mac": "000b82000666",
        "status": "ringing",
        "timestamp": timestamp,
    });

    report.to_string().into_bytes()
}

fn tick(at: i64) -> Vec<u8> {
    let id = uuid::Uuid::now_v7();

    // The order of an encoded tick.
    format!(r#"{{"v":1,"tick":{at},"ingress":"{id}"}}"#).into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_messages_change_no_call_and_let_no_time_pass() {
    let cluster = Cluster::new().await;
    let worker = cluster.start("worker", "worker").await;
    let ingress = cluster.start("ingress", "ingress").await;
    let program = ForeignProgram::connect(&cluster.broker).await;

    let ringing = ingress.send(&format!("/gs/cti/incoming?{CALL}")).await;
    ringing.unwrap();
    cluster.until_stored(1).await;

    let absurd = [i64::MAX - 3, now() + YEAR_US, 1];
    let dead = i64::try_from(absurd.len()).unwrap() + 1;
    for at in absurd {
        program
            .publish("grandstream", "call.incoming", &plain(at))
            .await;
    }
    let long = vec![b' '; 10 << 20];
    let long = [long, plain(now())].concat();
    program.publish("grandstream", "call.incoming", &long).await;
    // Ticks of strangers, of now and of other times, in every partition.
    for at in [
        i64::MAX,
        i64::MIN,
        now() + YEAR_US,
        now(),
        now() - 30_000_000,
    ] {
        for partition in 0..4 {
            let key = format!("tick.p{partition:02}");
            program.publish("grandstream", &key, &tick(at)).await;
        }
    }

    cluster
        .until("SELECT count(*) FROM dead_events", dead)
        .await;
    let longest = "SELECT max(length(message))::bigint FROM dead_events";
    assert!(cluster.count(longest).await <= 16 << 10);

    // The call still rings, and is answered in its time.
    let open = "SELECT count(*) FROM live_states WHERE status = 'ringing' AND is_open";
    cluster.until(open, 1).await;
    for event in ["answered", "hangup"] {
        let accepted = ingress.send(&format!("/gs/cti/{event}?{CALL}")).await;
        accepted.unwrap();
    }
    let answered = "SELECT count(*) FROM call_logs WHERE outcome = 'answered'";
    cluster.until(answered, 1).await;
    assert_eq!(worker.readiness().await.0, 200);
    let ignored = worker.metric("cordboard_worker_ticks_ignored_total").await;
    assert!(ignored > 0);
    cluster.settled(3).await;

    ingress.stop().await;
    worker.stop().await;
}

/// Routing key and body of a message that anybody may publish. The phones and numbers of such
/// messages are none of the day's.
fn hostile() -> impl Strategy<Value = (String, Vec<u8>)> {
    let instant = || {
        prop_oneof![
            Just(i64::MAX - 3),
            Just(i64::MIN),
            Just(0),
            any::<i64>(),
            (-60_000_000..60_000_000_i64).prop_map(|offset| now() + offset),
            (1..50_i64).prop_map(|years| now() + years * YEAR_US),
        ]
    };
    let key = prop_oneof![
        "(call|device)\\.(incoming|answered|hangup|missed|idle|[a-z]{1,9})(\\.p0[0-3])?",
        "tick\\.p0[0-3]",
    ];
    let id = |id: u128| uuid::Uuid::from_u128(id | 1 << 127);
    let envelope = move |(id_bits, at, ingress): (u128, i64, Option<u128>)| {
        json!({
            "v": 1,
            "id": id(id_bits),
            "at": at,
            "site": "default",
            "from": null,
            "target": "/gs/cti/incoming?mac=000b82000666&local=666&remote=+49306660666",
            "form": "none",
            "ingress": ingress.map(id),
        })
        .to_string()
        .into_bytes()
    };

    let body = prop_oneof![
        instant().prop_map(plain),
        instant().prop_map(tick),
        (any::<u128>(), instant(), any::<Option<u128>>()).prop_map(envelope),
        vec(any::<u8>(), 0..64),
        "\\{\"v\":[0-9]{1,25}(,\"tick\":-?[0-9]{1,25})?\\}".prop_map(String::into_bytes),
        "[\\[{\"]{0,4000}".prop_map(String::into_bytes),
    ];
    (key, body)
}

/// Three calls of a normal day, each report with hostile messages before it.
async fn play(
    ingress: &Service,
    program: &ForeignProgram,
    mut noise: impl FnMut() -> Vec<(String, Vec<u8>)>,
    case: usize,
) {
    let phone = |call: usize| format!("mac=000b8200000{call}&local=20{call}");
    for (event, call) in [
        ("incoming", 1),
        ("incoming", 2),
        ("outgoing", 3),
        ("answered", 1),
        ("missed", 2),
        ("answered", 3),
        ("hangup", 3),
        ("hangup", 1),
    ] {
        for (key, body) in noise() {
            program.publish("grandstream", &key, &body).await;
        }
        let remote = format!("+4930111{case:02}{call}");
        let target = format!(
            "/gs/cti/{event}?{}&remote={remote}&c={case}.{call}",
            phone(call)
        );
        ingress.send(&target).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arbitrary_messages_over_the_broker_change_no_call_of_a_normal_day() {
    const CASES: usize = 12;

    let cluster = Cluster::new().await;
    let worker = cluster.start("worker", "worker").await;
    let ingress = cluster.start("ingress", "ingress").await;
    let program = ForeignProgram::connect(&cluster.broker).await;
    // Another one each time; a failure names it.
    let halves = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    let seed = halves.map(uuid::Uuid::into_bytes).concat();
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::from_seed(RngAlgorithm::ChaCha, &seed),
    );
    let strategy = vec(hostile(), 0..6);

    for case in 0..CASES {
        let noise = || strategy.new_tree(&mut runner).unwrap().current();
        play(&ingress, &program, noise, case).await;
    }

    let calls = i64::try_from(CASES).unwrap();
    for (sql, expected) in [(ANSWERED, 2 * calls), (MISSED, calls)] {
        let awaited = format!("{expected} from {sql} with the seed {seed:?}");
        cluster
            .until_count(&awaited, sql, |count| count == expected)
            .await;
    }
    let blamed = "SELECT count(*) FROM dead_events \
                  WHERE position('+4930111'::bytea IN message) > 0";
    assert_eq!(cluster.count(blamed).await, 0, "seed {seed:?}");
    assert_eq!(worker.readiness().await.0, 200);
    assert_eq!(cluster.output_of(&["rebuild", "--diff"]).await, "");

    ingress.stop().await;
    worker.stop().await;
}
