//! Progress of a command on standard error; without a terminal nothing is printed.

use indicatif::{ProgressBar, ProgressStyle};

use super::failure::Failure;

/// A counter of `unit`, for work of unknown length.
pub(super) fn counter(unit: &str) -> Result<ProgressBar, Failure> {
    let template = format!("{{spinner}} {{pos}} {unit}  {{elapsed}}");
    Ok(ProgressBar::new_spinner().with_style(style(&template)?))
}

/// A bar of `unit`, for work of known length.
pub(super) fn bar(unit: &str) -> Result<ProgressBar, Failure> {
    let template = format!("{{bar:40}} {{pos}}/{{len}} {unit}  {{elapsed}} of about {{duration}}");
    Ok(ProgressBar::new(0).with_style(style(&template)?))
}

fn style(template: &str) -> Result<ProgressStyle, Failure> {
    ProgressStyle::with_template(template).map_err(|error| Failure::Service(error.to_string()))
}
