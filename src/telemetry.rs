//! Logs and metrics: what is told about the work, never about the people. Names and help of all metrics stand here.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Every counter there is, with its help. All are present from the start, at zero.
const COUNTERS: [(&str, &str); 8] = [
    ("cordboard_ingress_accepted_total", "Events answered with 200: durable."),
    ("cordboard_ingress_refused_total", "Requests answered with anything else, by reason."),
    ("cordboard_worker_stored_total", "Facts committed to the ledger."),
    ("cordboard_worker_known_total", "Facts that the ledger had already."),
    ("cordboard_worker_dead_total", "Messages that hold no fact, kept as they came."),
    ("cordboard_worker_commit_retries_total", "Commits that had to be tried again because the database was away."),
    ("cordboard_worker_refolds_total", "Batches with facts so late that history was folded again."),
    ("cordboard_worker_missed_retracted_total", "Missed calls that turned out to be answered."),
];

/// Every gauge there is, with its help.
const GAUGES: [(&str, &str); 2] = [
    ("cordboard_worker_calls_held", "Calls in memory, finished ones that links may still need included."),
    ("cordboard_worker_watermark_seconds", "The instant up to which all facts have arrived, as Unix time."),
];

/// Begins to log.
///
/// # Errors
/// When the filter cannot be read.
pub fn log(settings: &LogSettings) -> Result<(), String> {
    let filter = EnvFilter::try_new(&settings.filter).map_err(|error| format!("`log.filter`: {error}"))?;
    let human = match settings.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = if human { builder.try_init() } else { builder.json().flatten_event(true).try_init() };
    installed.map_err(|error| error.to_string())
}

/// Begins to count.
///
/// # Errors
/// When somebody else counts already.
pub fn count() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    for (name, help) in COUNTERS {
        metrics::describe_counter!(name, help);
        if name != "cordboard_ingress_refused_total" {
            metrics::counter!(name).increment(0);
        }
    }
    for (name, help) in GAUGES {
        metrics::describe_gauge!(name, help);
    }
    Ok(handle)
}
