//! Whether a long history costs anything: pages of the call log over millions of stored calls,
//! whatever they are filtered by, and the same kind of traffic stored beside few calls and beside
//! many.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on must fail, and its results are its output"
)]
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are small"
)]

#[path = "support/backlog.rs"]
mod backlog;
#[path = "support/cpu.rs"]
mod cpu;
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use backlog::{LAYOUT, drain, publish, traffic};
use cordboard::simulate::Dice;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use support::cluster::Cluster;
use support::ledger::block_on;
use support::servers::Servers;
use support::service::Service;

const EVENTS: usize = 100_000;
const FEW_CALLS: i64 = 60_000;
const PAGES: usize = 200;
/// Each copy of all calls is from so much earlier.
const STEP_US: i64 = 6 * 3_600 * 1_000_000;

/// Copies of finished calls, each from some time before, with ids that tell that time as ours do.
const COPY_CALLS: &str = "WITH copies AS (
    SELECT (lpad(to_hex((started_at - k * $STEP) / 1000), 12, '0') || '7' || substr(md5(call_id::text || k), 14, 19))::uuid AS id, k * $STEP AS earlier, logs.*
    FROM call_logs AS logs CROSS JOIN generate_series($FROM::bigint, $TO::bigint) AS k WHERE started_at >= $NEWEST AND ended_at IS NOT NULL),
 logs AS (INSERT INTO call_logs
    SELECT id, site, direction, status, outcome, from_number, from_e164, to_number, to_e164, answered_by, started_at - earlier, answered_at - earlier, ended_at - earlier,
        ring_us, talk_us, total_us, replace(record::text, call_id::text, id::text)::json FROM copies),
 outcomes AS (INSERT INTO call_outcomes SELECT outcome, started_at - earlier, id, site, ended_at - earlier FROM copies)
 INSERT INTO call_participants SELECT id, place, p.site, p.started_at - earlier, extension, device, role, rang_at - earlier, p.answered_at - earlier, left_at - earlier, p.outcome
    FROM copies JOIN call_participants AS p USING (call_id)";

/// So many calls, or a little more.
fn grow(cluster: &Cluster, calls: i64, from: &mut i64) {
    let newest =
        cluster.count("SELECT min(started_at) FROM call_logs WHERE started_at > 1767225600000000");
    let copied = cluster.count("SELECT count(*) FROM call_logs WHERE started_at >= 1767225600000000 AND ended_at IS NOT NULL");
    block_on(async {
        let mut connection = PgConnection::connect(&cluster.database).await.unwrap();
        let mut there: i64 = sqlx::query_scalar("SELECT count(*) FROM call_logs")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        while there < calls {
            let more = ((calls - there) / copied + 1).min(20);
            let sql = COPY_CALLS
                .replace("$STEP", &STEP_US.to_string())
                .replace("$NEWEST", &newest.to_string());
            let sql = sql
                .replace("$FROM", &from.to_string())
                .replace("$TO", &(*from + more - 1).to_string());
            sqlx::query(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .unwrap();
            *from += more;
            there += more * copied;
        }
        // As its autovacuum would have done by the time there are so many.
        sqlx::query("VACUUM ANALYZE")
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::query("CHECKPOINT")
            .execute(&mut connection)
            .await
            .unwrap();
    });
}

/// Asks for pages, each time for something else; every other time for the page after it.
fn pages(service: &Service, what: &str, mut filter: impl FnMut() -> String) {
    let mut took: Vec<Duration> = Vec::new();
    let (mut found, mut unanswered) = (0, 0);
    let mut ask = |target: &str| {
        let began = Instant::now();
        let (status, page) = Service::get(service.people, target);
        took.push(began.elapsed());
        (status == 200, serde_json::from_str::<Value>(&page).unwrap())
    };
    for _ in 0..PAGES / 2 {
        // Each of them took as long as a question may take.
        if unanswered >= 3 {
            break;
        }
        let target = format!("/api/v1/calls?limit=50{}", filter());
        let (answered, page) = ask(&target);
        unanswered += usize::from(!answered);
        found += page["calls"].as_array().map_or(0, Vec::len);
        if let Some(cursor) = page["next_cursor"].as_str() {
            ask(&format!("{target}&cursor={cursor}"));
        }
    }
    took.sort_unstable();
    let millis = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!(
        "{what:<36} p50 {:>6.1} ms  p99 {:>6.1} ms  max {:>6.1} ms  ({} pages, {found} calls)",
        millis(50),
        millis(99),
        millis(100),
        took.len()
    );
}

fn main() {
    let many = std::env::args()
        .find_map(|word| word.strip_prefix("calls=")?.parse().ok())
        .unwrap_or(5_000_000);
    let servers = Servers::start(&[]);
    let cluster = Cluster::on(&servers.urls);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // A worker that takes over reads the last minutes back, which are as many events each time.
    let store = |run: usize| {
        runtime.block_on(publish(&cluster.broker, LAYOUT, &traffic(run, EVENTS)));
        drain(&cluster, EVENTS).0
    };
    store(0);
    store(1);
    let mut copies = 1;
    grow(&cluster, FEW_CALLS, &mut copies);
    println!(
        "beside {} calls:",
        cluster.count("SELECT count(*) FROM call_logs")
    );
    let few = store(2);
    let began = Instant::now();
    grow(&cluster, many, &mut copies);
    println!(
        "beside {} calls ({:.0} s to make them):",
        cluster.count("SELECT count(*) FROM call_logs"),
        began.elapsed().as_secs_f64()
    );
    let much = store(3);
    println!(
        "time for {EVENTS} events beside many calls and beside few: {:.2}",
        much.as_secs_f64() / few.as_secs_f64()
    );

    let gateway = cluster.start("gateway", "gateway");
    let (oldest, newest) = (
        cluster.count("SELECT min(started_at) / 1000000 FROM call_logs"),
        cluster.count("SELECT max(started_at) / 1000000 FROM call_logs"),
    );
    let numbers: Vec<String> = block_on(async {
        let mut connection = PgConnection::connect(&cluster.database).await.unwrap();
        let sql = "SELECT DISTINCT from_number FROM call_logs WHERE call_id IN (SELECT call_id FROM call_logs ORDER BY started_at DESC LIMIT 2000)";
        sqlx::query_scalar(sql)
            .fetch_all(&mut connection)
            .await
            .unwrap()
    });
    let mut dice = Dice::new(1);
    let mut roll = |sides: i64| i64::try_from(dice.roll(u64::try_from(sides).unwrap())).unwrap();
    let instant = |seconds: i64| jiff::Timestamp::from_second(seconds).unwrap().to_string();
    pages(&gateway, "all", String::new);
    pages(&gateway, "until any time", || {
        format!("&until={}", instant(oldest + roll(newest - oldest)))
    });
    pages(&gateway, "site", || format!("&site=site-{}", roll(100)));
    pages(&gateway, "site, until any time", || {
        format!(
            "&site=site-{}&until={}",
            roll(100),
            instant(oldest + roll(newest - oldest))
        )
    });
    for outcome in ["answered", "missed"] {
        pages(&gateway, &format!("outcome {outcome}"), || {
            format!(
                "&outcome={outcome}&until={}",
                instant(oldest + roll(newest - oldest))
            )
        });
    }
    for direction in ["inbound", "outbound"] {
        pages(&gateway, &format!("direction {direction}"), || {
            format!("&direction={direction}")
        });
    }
    pages(&gateway, "site, missed, of one day", || {
        let since = oldest + roll(newest - oldest);
        format!(
            "&site=site-{}&outcome=missed&since={}&until={}",
            roll(100),
            instant(since),
            instant(since + 86_400)
        )
    });
    pages(&gateway, "number", || {
        format!(
            "&number={}",
            numbers[usize::try_from(roll(1_000)).unwrap() % numbers.len()].replace('+', "%2B")
        )
    });
    pages(&gateway, "number nobody has", || {
        format!("&number=%2B4999{}", roll(1_000_000))
    });
    pages(&gateway, "extension", || {
        format!("&extension={}", 10_000 + roll(300))
    });
    pages(&gateway, "site and extension", || {
        format!("&site=site-{}&extension={}", roll(100), 10_000 + roll(300))
    });
    pages(&gateway, "extension, missed", || {
        format!("&extension={}&outcome=missed", 10_000 + roll(300))
    });
    pages(&gateway, "status completed, inbound", || {
        format!(
            "&status=completed&direction=inbound&until={}",
            instant(oldest + roll(newest - oldest))
        )
    });
    for what in [
        "outcome=no_answer",
        "outcome=lost",
        "direction=internal",
        "status=failed",
        "status=ringing",
    ] {
        pages(&gateway, &format!("{what} (rare or none)"), || {
            format!("&{what}")
        });
        pages(&gateway, &format!("{what}, of a site"), || {
            format!("&{what}&site=site-{}", roll(100))
        });
    }
    gateway.stop();
}
