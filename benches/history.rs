//! The cost of a long history: pages of the call log over millions of stored calls, with each kind
//! of filter, and the same kind of traffic stored beside few calls and beside many.
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
#[path = "support/process.rs"]
mod process;
#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "a benchmark uses a part of the test support")]
mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use backlog::{LAYOUT, drain, publish, traffic};
use cordboard::simulate::Dice;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use support::cluster::Cluster;
use support::http;
use support::servers::Servers;

const EVENTS: usize = 100_000;
const FEW_CALLS: i64 = 60_000;
const PAGES: usize = 200;
/// Filters whose pages time out this often are given up.
const UNANSWERED_MAX: usize = 3;
/// The time between two copies of all calls.
const STEP_US: i64 = 6 * 3_600 * 1_000_000;
/// Copies made by one statement.
const COPIES_MAX: i64 = 20;
const DAY_SECONDS: i64 = 86_400;

const CALLS: &str = "SELECT count(*) FROM call_logs";
const ORIGINALS: &str = "
SELECT count(*)
FROM call_logs
WHERE started_at >= 1767225600000000 AND ended_at IS NOT NULL";
const FIRST_ORIGINAL: &str = "
SELECT min(started_at)
FROM call_logs
WHERE started_at > 1767225600000000";

/// Copies finished calls, each to an earlier time. The id of a copy tells its time, as ids of calls
/// do.
const COPY_CALLS: &str = "
WITH copies AS (
    SELECT
        (lpad(to_hex((started_at - copy * $STEP) / 1000), 12, '0') || '7'
            || substr(md5(call_id::text || copy), 14, 19))::uuid AS id,
        copy * $STEP AS earlier,
        logs.*
    FROM call_logs AS logs
    CROSS JOIN generate_series($FROM::bigint, $TO::bigint) AS copy
    WHERE started_at >= $FIRST AND ended_at IS NOT NULL
),
logs AS (
    INSERT INTO call_logs
    SELECT
        id, site, direction, status, outcome, from_number, from_e164, to_number, to_e164,
        answered_by, started_at - earlier, answered_at - earlier, ended_at - earlier,
        ring_us, talk_us, total_us, replace(record::text, call_id::text, id::text)::json
    FROM copies
),
outcomes AS (
    INSERT INTO call_outcomes
    SELECT outcome, started_at - earlier, id, site, ended_at - earlier FROM copies
)
INSERT INTO call_participants
SELECT
    id, place, p.site, p.started_at - earlier, extension, device, role, rang_at - earlier,
    p.answered_at - earlier, left_at - earlier, p.outcome
FROM copies
JOIN call_participants AS p USING (call_id)";

/// Numbers of callers with recent calls.
const CALLERS: &str = "
SELECT DISTINCT from_number
FROM call_logs
WHERE call_id IN (SELECT call_id FROM call_logs ORDER BY started_at DESC LIMIT 2000)";

/// Adds copies of the stored calls, until there are at least so many. Returns the number of the
/// next copy.
async fn grow(cluster: &Cluster, calls: i64, next_copy: i64) -> i64 {
    let first = cluster.count(FIRST_ORIGINAL).await;
    let originals = cluster.count(ORIGINALS).await;
    let mut stored = cluster.count(CALLS).await;
    let mut connection = PgConnection::connect(&cluster.database).await.unwrap();
    let mut next_copy = next_copy;

    while stored < calls {
        let copies = ((calls - stored) / originals + 1).min(COPIES_MAX);
        let sql = COPY_CALLS
            .replace("$STEP", &STEP_US.to_string())
            .replace("$FIRST", &first.to_string())
            .replace("$FROM", &next_copy.to_string())
            .replace("$TO", &(next_copy + copies - 1).to_string());
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        next_copy += copies;
        stored += copies * originals;
    }

    // Autovacuum would have done this while the calls were stored.
    for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }

    next_copy
}

/// The gateway, and random values for the filters.
struct Pages {
    gateway: SocketAddr,
    dice: Dice,
    /// The times of the first and of the last call, in seconds.
    oldest: i64,
    newest: i64,
    callers: Vec<String>,
}

impl Pages {
    async fn of(cluster: &Cluster, gateway: SocketAddr) -> Pages {
        let mut connection = PgConnection::connect(&cluster.database).await.unwrap();
        let callers = sqlx::query_scalar(CALLERS)
            .fetch_all(&mut connection)
            .await
            .unwrap();

        Pages {
            gateway,
            dice: Dice::new(1),
            oldest: cluster
                .count("SELECT min(started_at) / 1000000 FROM call_logs")
                .await,
            newest: cluster
                .count("SELECT max(started_at) / 1000000 FROM call_logs")
                .await,
            callers,
        }
    }

    fn roll(&mut self, sides: i64) -> i64 {
        i64::try_from(self.dice.roll(u64::try_from(sides).unwrap())).unwrap()
    }

    /// Seconds of any time between the first and the last call.
    fn time(&mut self) -> i64 {
        self.oldest + self.roll(self.newest - self.oldest)
    }

    fn until(&mut self) -> String {
        format!("&until={}", timestamp(self.time()))
    }

    fn site(&mut self) -> String {
        format!("&site=site-{}", self.roll(100))
    }

    fn extension(&mut self) -> String {
        format!("&extension={}", 10_000 + self.roll(300))
    }

    fn caller(&mut self) -> String {
        let callers = i64::try_from(self.callers.len()).unwrap();
        let caller = usize::try_from(self.roll(callers)).unwrap();

        format!("&number={}", self.callers[caller].replace('+', "%2B"))
    }

    fn day(&mut self) -> String {
        let since = self.time();
        let until = since + DAY_SECONDS;

        format!("&since={}&until={}", timestamp(since), timestamp(until))
    }

    /// Requests pages, each with another filter; every second one is the page after it.
    async fn measure(&mut self, name: &str, mut filter: impl FnMut(&mut Pages) -> String) {
        let mut times: Vec<Duration> = Vec::new();
        let mut found = 0;
        let mut unanswered = 0;

        for _ in 0..PAGES / 2 {
            if unanswered >= UNANSWERED_MAX {
                break;
            }

            let target = format!("/api/v1/calls?limit=50{}", filter(self));
            let page = self.request(&target, &mut times).await;
            unanswered += usize::from(page.is_none());
            let page = page.unwrap_or_default();
            found += page["calls"].as_array().map_or(0, Vec::len);

            if let Some(cursor) = page["next_cursor"].as_str() {
                self.request(&format!("{target}&cursor={cursor}"), &mut times)
                    .await;
            }
        }

        times.sort_unstable();
        let millis = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
        println!(
            "{name:<36} p50 {:>6.1} ms  p99 {:>6.1} ms  max {:>6.1} ms  ({} pages, {found} calls)",
            millis(50),
            millis(99),
            millis(100),
            times.len()
        );
    }

    /// Returns `None` where the query took too long.
    async fn request(&self, target: &str, times: &mut Vec<Duration>) -> Option<Value> {
        let began = Instant::now();
        let (status, page) = http::get(self.gateway, target).await;
        times.push(began.elapsed());

        (status == 200).then(|| serde_json::from_str(&page).unwrap())
    }

    async fn measure_all(&mut self) {
        self.measure("all", |_| String::new()).await;
        self.measure("until any time", Pages::until).await;
        self.measure("site", Pages::site).await;
        self.measure("site, until any time", |pages| {
            pages.site() + &pages.until()
        })
        .await;
        for outcome in ["answered", "missed"] {
            self.measure(&format!("outcome {outcome}"), |pages| {
                format!("&outcome={outcome}{}", pages.until())
            })
            .await;
        }
        for direction in ["inbound", "outbound"] {
            self.measure(&format!("direction {direction}"), |_| {
                format!("&direction={direction}")
            })
            .await;
        }
        self.measure("site, missed, of one day", |pages| {
            format!("&outcome=missed{}{}", pages.site(), pages.day())
        })
        .await;
        self.measure("number", Pages::caller).await;
        self.measure("number without calls", |pages| {
            format!("&number=%2B4999{}", pages.roll(1_000_000))
        })
        .await;
        self.measure("extension", Pages::extension).await;
        self.measure("site and extension", |pages| {
            pages.site() + &pages.extension()
        })
        .await;
        self.measure("extension, missed", |pages| {
            format!("&outcome=missed{}", pages.extension())
        })
        .await;
        self.measure("status completed, inbound", |pages| {
            format!("&status=completed&direction=inbound{}", pages.until())
        })
        .await;

        for filter in [
            "outcome=no_answer",
            "outcome=lost",
            "direction=internal",
            "status=failed",
            "status=ringing",
        ] {
            self.measure(&format!("{filter} (rare or none)"), |_| {
                format!("&{filter}")
            })
            .await;
            self.measure(&format!("{filter}, of a site"), |pages| {
                format!("&{filter}{}", pages.site())
            })
            .await;
        }
    }
}

fn timestamp(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(seconds).unwrap()
}

/// Publishes the events of a run and drains them. A worker that takes over reads back the last
/// minutes, which are as many events in each run.
async fn store(cluster: &Cluster, run: usize) -> Duration {
    publish(&cluster.broker, LAYOUT, &traffic(run, EVENTS)).await;

    drain(cluster, EVENTS).await.0
}

#[tokio::main]
async fn main() {
    let many_calls = std::env::args()
        .find_map(|word| word.strip_prefix("calls=")?.parse().ok())
        .unwrap_or(5_000_000);
    let servers = Servers::start(&[]).await;
    let cluster = Cluster::on(&servers.urls).await;

    store(&cluster, 0).await;
    store(&cluster, 1).await;
    let next_copy = grow(&cluster, FEW_CALLS, 1).await;
    println!("beside {} calls:", cluster.count(CALLS).await);
    let beside_few = store(&cluster, 2).await;

    let began = Instant::now();
    grow(&cluster, many_calls, next_copy).await;
    println!(
        "beside {} calls ({:.0} s to make them):",
        cluster.count(CALLS).await,
        began.elapsed().as_secs_f64()
    );
    let beside_many = store(&cluster, 3).await;
    println!(
        "time for {EVENTS} events beside many calls and beside few: {:.2}",
        beside_many.as_secs_f64() / beside_few.as_secs_f64()
    );

    let gateway = cluster.start("gateway", "gateway").await;
    Pages::of(&cluster, gateway.gateway)
        .await
        .measure_all()
        .await;
    gateway.stop().await;
}
