//! `cordboard stats`: calls by hour of a running service.

use serde_json::Value;

use super::api::{ApiArguments, given, moment, print_list};
use super::failure::Failure;
use super::runtime::block_on;

/// Print calls, answered and missed calls by hour
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    api: ApiArguments,

    /// Only this site
    #[arg(long)]
    site: Option<String>,

    /// Only calls since this instant (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    since: Option<String>,

    /// Only calls before this instant (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    until: Option<String>,

    /// Print each hour as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let api = arguments.api.open()?;
    let query = given([
        ("site", &arguments.site),
        ("since", &arguments.since),
        ("until", &arguments.until),
    ]);

    let answer = block_on(async { Ok(api.get("stats", &query).await?) })?;
    print_list(&answer["stats"], arguments.json, line)
}

fn line(hour: &Value) -> String {
    let text = |field: &str| hour[field].as_str().unwrap_or("-");

    format!(
        "{}  {}  {:8}  {} calls  {} answered  {} missed",
        moment(text("hour")),
        text("site"),
        text("direction"),
        hour["calls"],
        hour["answered"],
        hour["missed"],
    )
}
