//! Hostile messages over the broker: they change no call, blame no other message, and let no time
//! pass.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::support::cluster::Cluster;
use crate::support::foreign::ForeignProgram;

const CALL: &str = "mac=000b82000001&local=201&remote=+4930111222&c=a";
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
    let open = "SELECT count(*) FROM call_states WHERE status = 'ringing' AND is_open";
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
