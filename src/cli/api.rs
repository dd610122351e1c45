//! Options of the commands that ask a running service, and how they show calls.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::Value;

use super::failure::Failure;
use super::options::SettingsArguments;
use crate::ops::{Api, ApiError};

/// The running service to ask.
#[derive(clap::Args)]
pub(super) struct ApiArguments {
    /// Base of the API, such as <http://127.0.0.1:8088>; the gateway of the settings without it
    #[arg(long, value_name = "URL")]
    api: Option<String>,

    /// File with the token of a program (`cordboard token create`), where accounts exist
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    #[command(flatten)]
    settings: SettingsArguments,
}

impl ApiArguments {
    pub(super) fn open(&self) -> Result<Api, Failure> {
        let token = self
            .token_file
            .as_ref()
            .map(|file| {
                fs::read_to_string(file)
                    .map(|text| text.trim().to_owned())
                    .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))
            })
            .transpose()?;
        let base = match &self.api {
            Some(base) => base.clone(),
            None => format!("http://{}", self.settings.load()?.gateway.listen),
        };

        Ok(Api::new(&base, token)?)
    }

    /// The operations listener at an address, or that of the settings. It has no accounts.
    pub(super) fn open_operations(&self, address: Option<String>) -> Result<Api, Failure> {
        let base = match address {
            Some(base) => base,
            None => format!("http://{}", self.settings.load()?.operations.listen),
        };

        Ok(Api::new(&base, None)?)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        Failure::Service(crate::chain::Chain(&error).to_string())
    }
}

/// The parameters that were given.
pub(super) fn given<'n>(
    optional: impl IntoIterator<Item = (&'n str, &'n Option<String>)>,
) -> Vec<(&'n str, String)> {
    optional
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)))
        .collect()
}

/// Prints each entry of a list in one line: as JSON, or for people.
pub(super) fn print_list(
    list: &Value,
    as_json: bool,
    line: impl Fn(&Value) -> String,
) -> Result<(), Failure> {
    let mut out = io::stdout().lock();

    for entry in list.as_array().into_iter().flatten() {
        if as_json {
            writeln!(out, "{entry}")?;
        } else {
            writeln!(out, "{}", line(entry))?;
        }
    }

    Ok(())
}

/// One call in one line.
pub(super) fn call_line(call: &Value) -> String {
    let text = |place: &str| call.pointer(place).and_then(Value::as_str);
    let party = |side: &str| {
        let number = text(&format!("/{side}/number")).unwrap_or("withheld");
        match text(&format!("/{side}/name")) {
            Some(name) => format!("{name} ({number})"),
            None => number.to_owned(),
        }
    };
    let state = text("/outcome").or_else(|| text("/status")).unwrap_or("-");
    let seconds = |field: &str| call[field].as_f64().map_or_else(|| "-".to_owned(), length);
    let owner = text("/answered_by/extension")
        .map(|extension| format!(" by {extension}"))
        .unwrap_or_default();

    format!(
        "{}  {:8}  {} -> {}  {state}{owner}  waited {}  talked {}",
        moment(text("/started_at").unwrap_or_default()),
        text("/direction").unwrap_or("-"),
        party("from"),
        party("to"),
        seconds("ring_seconds"),
        seconds("talk_seconds"),
    )
}

/// An instant of the API to the second.
pub(super) fn moment(instant: &str) -> String {
    instant.get(..19).unwrap_or(instant).replace('T', " ")
}

/// A length as minutes and seconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a call is shorter than 580 million years"
)]
pub(super) fn length(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;

    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_is_one_line() {
        let call = json!({
            "started_at": "2026-01-01T09:00:00.110000Z",
            "direction": "inbound",
            "from": { "number": "+4930123456", "name": "Katrin" },
            "to": { "number": "201", "name": null },
            "status": "completed",
            "outcome": "answered",
            "answered_by": { "extension": "201" },
            "ring_seconds": 4.3,
            "talk_seconds": 125.0,
        });

        assert_eq!(
            call_line(&call),
            "2026-01-01 09:00:00  inbound   Katrin (+4930123456) -> 201  answered by 201  \
             waited 0:04  talked 2:05"
        );
    }
}
