//! Logging and metrics. Neither contains the content of phone requests: no numbers, no names.

mod logging;
mod metrics;

pub use logging::{init_logging, log_panics};
pub use metrics::init_metrics;
