//! Names, help texts, labels and buckets of all metrics.
//!
//! Every metric is described and exists from the start, with the value zero, so that a rate or an
//! alert never misses its first increment. Labels have a fixed set of values.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Counters with their help texts.
const COUNTERS: [(&str, &str); 32] = [
    (
        "cordboard_ingress_accepted_total",
        "Events stored durably; each is answered with 200 if the phone is still connected.",
    ),
    (
        "cordboard_ingress_refused_total",
        "Requests answered with an error, by reason.",
    ),
    (
        "cordboard_webhook_attempts_total",
        "Attempts to deliver a webhook, by result: taken by the receiver, to be repeated, or failed \
         for the last time.",
    ),
    (
        "cordboard_caller_lookups_total",
        "Requests to another program for the contacts of a caller, by result.",
    ),
    (
        "cordboard_broker_unreadable_total",
        "Connections that a message ended because it is no AMQP that can be read.",
    ),
    (
        "cordboard_gateway_refused_total",
        "Connections and event streams refused because too many are open, by kind.",
    ),
    (
        "cordboard_ingress_odd_total",
        "Accepted requests with an irregularity, by kind: repaired, truncated or cleaned \
         parameters, or an unusual device name.",
    ),
    (
        "cordboard_ingress_clock_jumps_total",
        "Steps of the system clock by more than one second.",
    ),
    (
        "cordboard_reload_failures_total",
        "Failed reloads of the settings; the previous settings stay in force.",
    ),
    (
        "cordboard_journal_damaged_bytes_total",
        "Unreadable journal bytes found at start-up.",
    ),
    (
        "cordboard_worker_stored_total",
        "Facts committed to the ledger.",
    ),
    (
        "cordboard_worker_ticks_ignored_total",
        "Ticks that let no time pass, by reason: an ingress without events, or an instant far from \
         the clock.",
    ),
    (
        "cordboard_worker_state_failures_total",
        "Batches that waited because every message failed: stored state is the reason.",
    ),
    (
        "cordboard_worker_unfolded_total",
        "Late events that were stored and not folded, because their history is too long.",
    ),
    (
        "cordboard_worker_healed_total",
        "Take-overs that found and corrected stored instants far from the clock.",
    ),
    (
        "cordboard_worker_known_total",
        "Duplicate facts: the ledger contained them already.",
    ),
    (
        "cordboard_worker_dead_total",
        "Messages without a readable fact, stored unchanged as dead letters.",
    ),
    (
        "cordboard_worker_conflicts_total",
        "Events with the id of an earlier one and another content, stored as dead letters.",
    ),
    (
        "cordboard_worker_retries_total",
        "Database operations repeated because the database was unavailable.",
    ),
    (
        "cordboard_worker_refolds_total",
        "Batches with facts so late that stored history was folded again.",
    ),
    (
        "cordboard_worker_missed_retracted_total",
        "Missed calls corrected to answered by a late fact.",
    ),
    (
        "cordboard_worker_fenced_total",
        "Batches rejected by the fence because another worker owns the partition.",
    ),
    (
        "cordboard_ingress_unconfirmed_total",
        "Requests answered without the broker confirmation that `ingress.durability` requires, \
         because the confirmation timed out.",
    ),
    (
        "cordboard_broker_reconnects_total",
        "Reconnections to the broker.",
    ),
    (
        "cordboard_broker_foreign_total",
        "Reports published by other programs.",
    ),
    (
        "cordboard_broker_forwarded_total",
        "Messages forwarded to the partition of their site.",
    ),
    (
        "cordboard_live_failures_total",
        "Live view operations that failed or timed out.",
    ),
    (
        "cordboard_live_refused_total",
        "Commands rejected by the live view: wrong key type, out of memory, or missing permission.",
    ),
    (
        "cordboard_live_stream_errors_total",
        "Events that the daily logs in Redis lack: not taken, or not answered.",
    ),
    (
        "cordboard_webhook_skipped_total",
        "Notifications that were deleted before webhooks could get them: too many had gathered.",
    ),
    (
        "cordboard_live_restored_total",
        "Complete rewrites of a partition in the live view.",
    ),
    (
        "cordboard_broker_news_late_total",
        "Notifications that exceeded the outbox capacity and were read from the database later.",
    ),
];

/// Values of the label `reason`: the error codes of responses, and the rejections of the HTTP
/// parser and the accept loop.
const REFUSAL_REASONS: [&str; 15] = [
    "method_not_allowed",
    "not_found",
    "strange_network",
    "wrong_token",
    "unreadable_stranger",
    "too_many_parameters",
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

/// Values of the label `what`: the irregularities of accepted requests.
const IRREGULARITIES: [&str; 6] = [
    "repaired_line",
    "broken_body",
    "duplicate_parameter",
    "cut",
    "characters_removed",
    "opaque_device",
];

/// Gauges with their help texts.
const GAUGES: [(&str, &str); 18] = [
    (
        "cordboard_conservation",
        "Events accepted minus events accounted for; non-zero for a minute means loss or double \
         counting.",
    ),
    (
        "cordboard_ingress_clock_ahead_seconds",
        "Lead of event timestamps over the system clock after the clock was set back.",
    ),
    (
        "cordboard_journal_depth_records",
        "Unsettled messages in the journal.",
    ),
    (
        "cordboard_journal_oldest_seconds",
        "Upper bound on the age of the oldest unsettled message in the journal.",
    ),
    (
        "cordboard_journal_bytes",
        "Journal bytes in use, without the unused space reserved for the last segment.",
    ),
    (
        "cordboard_journal_refusing",
        "1 while the journal rejects events and phones are answered with 503.",
    ),
    (
        "cordboard_watermark_lag_seconds",
        "Time between the watermark of the slowest partition and the system clock.",
    ),
    ("cordboard_calls_live", "Open calls."),
    (
        "cordboard_missed_pending",
        "Unanswered calls whose missed decision is pending.",
    ),
    (
        "cordboard_dead_letters",
        "Dead letters in the database; each waits for a retry or a drop by an operator.",
    ),
    (
        "cordboard_webhook_waiting",
        "Deliveries of webhooks that wait for their receivers, at most 10,000 counted of each.",
    ),
    (
        "cordboard_server_up",
        "1 while this process has a working connection to the server.",
    ),
    (
        "cordboard_broker_blocked",
        "1 while the broker accepts no messages because it is low on memory or disk space.",
    ),
    (
        "cordboard_broker_waiting_messages",
        "Messages waiting in the queues of all partitions.",
    ),
    (
        "cordboard_broker_dead_messages",
        "Messages in the broker's dead-letter queue; each waits for a retry or a drop by an \
         operator.",
    ),
    (
        "cordboard_broker_partitions_without_worker",
        "Partitions whose queue has no consumer.",
    ),
    (
        "cordboard_worker_partitions",
        "Partitions owned by this process.",
    ),
    (
        "cordboard_worker_calls_held",
        "Calls in memory, including closed calls that may still be linked.",
    ),
];

/// Histograms with their help texts and bucket bounds.
const HISTOGRAMS: [(&str, &str, &[f64]); 2] = [
    (
        "cordboard_worker_batch_messages",
        "Messages per committed batch.",
        &[1.0, 4.0, 16.0, 64.0, 256.0, 1024.0],
    ),
    (
        "cordboard_worker_commit_seconds",
        "Duration of one commit.",
        &[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0],
    ),
];

/// Installs the global Prometheus recorder with all metrics.
///
/// # Errors
/// When a recorder is already installed.
pub fn init_metrics() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for (name, _, buckets) in HISTOGRAMS {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
    }
    let handle = builder.install_recorder()?;

    for (name, help) in COUNTERS {
        metrics::describe_counter!(name, help);

        let (label, values): (&'static str, &[&'static str]) = match name {
            "cordboard_ingress_refused_total" => ("reason", &REFUSAL_REASONS),
            "cordboard_ingress_odd_total" => ("what", &IRREGULARITIES),
            "cordboard_worker_ticks_ignored_total" => {
                ("reason", &["unregistered", "outside_window"])
            }
            "cordboard_caller_lookups_total" => ("result", &["found", "none", "failed"]),
            "cordboard_gateway_refused_total" => ("reason", &["connections", "watchers"]),
            "cordboard_webhook_attempts_total" => ("result", &["delivered", "retried", "failed"]),
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
        // The label `server` has no value before the settings name the servers.
        if name != "cordboard_server_up" {
            metrics::gauge!(name).set(0.0);
        }
    }

    for (name, help, _) in HISTOGRAMS {
        metrics::describe_histogram!(name, help);
    }

    Ok(handle)
}
