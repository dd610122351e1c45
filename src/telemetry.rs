//! Logs and metrics: what is told about the work, never about the people. Names and help of all
//! metrics stand here.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Every counter there is, with its help. All are present from the start, at zero.
const COUNTERS: [(&str, &str); 21] = [
    (
        "cordboard_ingress_accepted_total",
        "Events made durable; each is answered with 200, if the phone still listens.",
    ),
    (
        "cordboard_ingress_refused_total",
        "Requests answered with anything else, by reason.",
    ),
    (
        "cordboard_ingress_odd_total",
        "Accepted all the same: what was repaired, cut, removed, or named in its own way.",
    ),
    (
        "cordboard_ingress_clock_jumps_total",
        "Times the clock of the machine was set by more than a second.",
    ),
    (
        "cordboard_reload_failures_total",
        "Times the settings could not be read again.",
    ),
    (
        "cordboard_journal_damaged_bytes_total",
        "Bytes of the journal that could not be read at the start.",
    ),
    (
        "cordboard_worker_stored_total",
        "Facts committed to the ledger.",
    ),
    (
        "cordboard_worker_known_total",
        "Facts that the ledger had already.",
    ),
    (
        "cordboard_worker_dead_total",
        "Messages that hold no fact, kept as they came.",
    ),
    (
        "cordboard_worker_retries_total",
        "Times the database had to be asked again because it was away.",
    ),
    (
        "cordboard_worker_refolds_total",
        "Batches with facts so late that history was folded again.",
    ),
    (
        "cordboard_worker_missed_retracted_total",
        "Missed calls that turned out to be answered.",
    ),
    (
        "cordboard_worker_fenced_total",
        "Batches that were refused because another worker owns the partition now.",
    ),
    (
        "cordboard_ingress_unconfirmed_total",
        "Phones answered without the broker's confirmation that the settings ask for, because it took too long.",
    ),
    (
        "cordboard_broker_reconnects_total",
        "Times a connection to the broker was made anew.",
    ),
    (
        "cordboard_broker_foreign_total",
        "Reports that other programs published.",
    ),
    (
        "cordboard_broker_forwarded_total",
        "Messages sent on to the partition they belong to.",
    ),
    (
        "cordboard_live_failures_total",
        "Times the live view did not answer in time, or at all.",
    ),
    (
        "cordboard_live_refused_total",
        "Commands that the live view refused: keys of another type, no memory, no permission.",
    ),
    (
        "cordboard_live_restored_total",
        "Times everything a partition shows was shown again.",
    ),
    (
        "cordboard_broker_news_late_total",
        "News that found no room and waited in the database until the broker had taken those before them.",
    ),
];

/// The reasons of refused requests: the codes of the answers, and what the HTTP parser and the
/// accept loop refuse.
const REFUSALS: [&str; 16] = [
    "method_not_allowed",
    "not_found",
    "strange_network",
    "wrong_token",
    "unreadable_stranger",
    "too_many_parameters",
    "nul_in_parameter",
    "bad_body",
    "body_too_large",
    "no_device",
    "too_many_requests",
    "not_durable",
    "timeout",
    "unparseable",
    "broken_connection",
    "too_many_connections",
];

/// What is odd about requests that are accepted.
const ODDITIES: [&str; 5] = [
    "repaired_line",
    "duplicate_parameter",
    "cut",
    "characters_removed",
    "opaque_device",
];

/// Every gauge there is, with its help.
const GAUGES: [(&str, &str); 17] = [
    (
        "cordboard_conservation",
        "What came in less what was stored, known, dead or waits. Not zero for a minute: something was lost.",
    ),
    (
        "cordboard_ingress_clock_ahead_seconds",
        "How far the instants of events are ahead of the clock, because it was set back.",
    ),
    (
        "cordboard_journal_depth_records",
        "Messages in the journal that are not done with.",
    ),
    (
        "cordboard_journal_oldest_seconds",
        "How long the oldest of them waits, at most.",
    ),
    (
        "cordboard_journal_bytes",
        "Bytes in the journal; the room reserved for its last segment not counted.",
    ),
    (
        "cordboard_journal_refusing",
        "1 while the journal takes nothing and phones are answered with 503.",
    ),
    (
        "cordboard_watermark_lag_seconds",
        "How far the worker is behind the clock.",
    ),
    ("cordboard_calls_live", "Calls that are not over."),
    (
        "cordboard_missed_pending",
        "Unanswered calls of which it is not decided yet whether somebody missed them.",
    ),
    (
        "cordboard_dead_letters",
        "Messages that hold no fact, waiting for somebody to look at them.",
    ),
    (
        "cordboard_server_up",
        "1 while a part of this process reaches its server.",
    ),
    (
        "cordboard_broker_blocked",
        "1 while the broker is short of memory or disk and takes no messages.",
    ),
    (
        "cordboard_broker_waiting_messages",
        "Messages that wait in the queues of all partitions.",
    ),
    (
        "cordboard_broker_dead_messages",
        "Messages that the broker has given up, waiting for somebody to look at them.",
    ),
    (
        "cordboard_broker_partitions_without_worker",
        "Partitions whose queue nobody reads.",
    ),
    (
        "cordboard_worker_partitions",
        "Partitions this process owns.",
    ),
    (
        "cordboard_worker_calls_held",
        "Calls in memory, finished ones that links may still need included.",
    ),
];

/// Every histogram there is, with its help and its buckets.
const HISTOGRAMS: [(&str, &str, &[f64]); 2] = [
    (
        "cordboard_worker_batch_messages",
        "Messages handled in one transaction.",
        &[1.0, 4.0, 16.0, 64.0, 256.0, 1024.0],
    ),
    (
        "cordboard_worker_commit_seconds",
        "Time of one transaction.",
        &[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0],
    ),
];

/// Lines that wait to be written; beyond it they are dropped. A log that nobody reads must never
/// keep a phone waiting.
const LINES_WAITING_MAX: usize = 16_384;

/// Begins to log. Lines are written as long as what is returned lives.
///
/// # Errors
/// When the filter cannot be read.
pub fn init_logging(settings: &LogSettings) -> Result<WorkerGuard, String> {
    let filter =
        EnvFilter::try_new(&settings.filter).map_err(|error| format!("`log.filter`: {error}"))?;
    let human = match settings.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let (lines, written) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_WAITING_MAX)
        .finish(std::io::stderr());
    // What goes wrong with a log cannot be logged.
    let builder = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_ansi(human)
        .with_writer(lines);
    let installed = if human {
        builder.try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    installed.map_err(|error| error.to_string())?;
    Ok(written)
}

/// Begins to count.
///
/// # Errors
/// When somebody else counts already.
pub fn init_metrics() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for (name, _, buckets) in HISTOGRAMS {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
    }
    let handle = builder.install_recorder()?;
    for (name, help) in COUNTERS {
        metrics::describe_counter!(name, help);
        let (label, values): (&'static str, &[&'static str]) = match name {
            "cordboard_ingress_refused_total" => ("reason", &REFUSALS),
            "cordboard_ingress_odd_total" => ("what", &ODDITIES),
            _ => {
                metrics::counter!(name).increment(0);
                continue;
            }
        };
        for value in values {
            metrics::counter!(name, label => *value).increment(0);
        }
    }
    for (name, help) in GAUGES {
        metrics::describe_gauge!(name, help);
        // By server, when it is known which there are.
        if name != "cordboard_server_up" {
            metrics::gauge!(name).set(0.0);
        }
    }
    for (name, help, _) in HISTOGRAMS {
        metrics::describe_histogram!(name, help);
    }
    Ok(handle)
}

/// A panic is told by its place alone: its message may quote what a phone sent.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "a defect: this part of the program ended itself");
    }));
}
