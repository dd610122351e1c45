//! `cordboard missed`: the missed-call desk of a running service.

use serde_json::Value;

use super::api::{ApiArguments, given, moment, print_list};
use super::failure::Failure;
use super::runtime::block_on;

/// List the callers who wait for a call back
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    api: ApiArguments,

    /// Only callers of this site
    #[arg(long)]
    site: Option<String>,

    /// open, assigned, done or all; open and assigned ones without it
    #[arg(long)]
    status: Option<String>,

    /// Print each entry as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let api = arguments.api.open()?;
    let query = given([("site", &arguments.site), ("status", &arguments.status)]);

    let answer = block_on(async { Ok(api.get("missed", &query).await?) })?;
    print_list(&answer["missed"], arguments.json, line)
}

fn line(entry: &Value) -> String {
    let text = |place: &str| entry.pointer(place).and_then(Value::as_str);
    let extensions: Vec<&str> = entry["missed_extensions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let person = text("/assigned_to")
        .map(|person| format!(" to {person}"))
        .unwrap_or_default();
    let reached = text("/reached_by/extension")
        .map(|extension| format!(", reached by {extension}"))
        .unwrap_or_default();

    format!(
        "{}  {}  {} times  rang at {}  {}{person}{reached}",
        moment(text("/missed_at").unwrap_or_default()),
        text("/from/number").unwrap_or("withheld"),
        entry["calls"],
        extensions.join(", "),
        text("/status").unwrap_or("-"),
    )
}
