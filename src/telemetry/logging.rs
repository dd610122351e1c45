//! The log: human-readable lines or JSON on standard error.
//!
//! A thread of its own writes the lines. A slow reader of standard error delays no phone: when
//! [`BUFFERED_LINES_MAX`] lines wait, further lines are dropped.

use std::io::IsTerminal;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Log lines that wait for the writer thread.
const BUFFERED_LINES_MAX: usize = 16_384;

/// Installs the global log subscriber. Dropping the returned guard writes the buffered lines and
/// ends the log.
///
/// # Errors
/// When the filter is invalid, or a subscriber is already installed.
pub fn init_logging(settings: &LogSettings) -> Result<WorkerGuard, String> {
    let filter =
        EnvFilter::try_new(&settings.filter).map_err(|error| format!("`log.filter`: {error}"))?;
    let human = match settings.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };

    let (lines, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(BUFFERED_LINES_MAX)
        .finish(std::io::stderr());
    // Internal errors of the log have no other channel: reporting them would need the same log.
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

    Ok(guard)
}

/// Logs every panic with its source location. The panic message is left out: it may quote the
/// request of a phone.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();

        tracing::error!(location, "panic");
    }));
}
