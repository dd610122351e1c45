//! How far a command has come: a bar on standard error, and nothing where that is no terminal.

use indicatif::{ProgressBar, ProgressStyle};

use super::failure::Failure;

/// A count of these, where nobody knows how many there will be.
pub(super) fn count(what: &str) -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template(&format!("{{spinner}} {{pos}} {what}  {{elapsed}}"));
    Ok(ProgressBar::new_spinner()
        .with_style(style.map_err(|error| Failure::Service(error.to_string()))?))
}

/// A bar that counts these.
pub(super) fn bar(what: &str) -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template(&format!(
        "{{bar:40}} {{pos}}/{{len}} {what}  {{elapsed}} of about {{duration}}"
    ));
    Ok(ProgressBar::new(0).with_style(style.map_err(|error| Failure::Service(error.to_string()))?))
}
