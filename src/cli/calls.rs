//! `cordboard calls`: the call log of a running service, and calls as they happen.

use std::io::{self, Write};

use serde_json::Value;

use super::api::{ApiArguments, call_line};
use super::failure::Failure;
use super::runtime::block_on;

/// List calls of a running service, or follow them as they happen
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    api: ApiArguments,

    /// Only calls of this site
    #[arg(long)]
    site: Option<String>,

    /// Only calls since this instant (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    since: Option<String>,

    /// Only calls with this part of a number or a name
    #[arg(long)]
    text: Option<String>,

    /// Only calls with this outcome: answered, missed, `no_answer` or lost
    #[arg(long)]
    outcome: Option<String>,

    /// Only calls that go on
    #[arg(long)]
    live: bool,

    /// Calls at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,

    /// Print each call as one line of JSON
    #[arg(long)]
    json: bool,

    /// Print every change of a call as it happens, until the service stops
    #[arg(long, conflicts_with_all = ["since", "text", "outcome", "live"])]
    follow: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let api = arguments.api.open()?;
    if arguments.follow {
        return block_on(async {
            let followed = api.follow(|name, data| {
                let call = &data["call"];
                let is_of_site = arguments
                    .site
                    .as_ref()
                    .is_none_or(|site| call["site"].as_str() == Some(site));
                if !call.is_null() && is_of_site {
                    // A closed output ends the command at its next line.
                    let _ = print_event(name, call, arguments.json);
                }
            });
            Ok(followed.await?)
        });
    }

    let mut query = vec![("limit", arguments.limit.to_string())];
    let optional = [
        ("site", &arguments.site),
        ("since", &arguments.since),
        ("text", &arguments.text),
        ("outcome", &arguments.outcome),
    ];
    let path = if arguments.live {
        "calls/live"
    } else {
        "calls"
    };
    for (name, value) in optional {
        if let Some(value) = value.as_ref().filter(|_| !arguments.live || name == "site") {
            query.push((name, value.clone()));
        }
    }

    let answer = block_on(async { Ok(api.get(path, &query).await?) })?;
    let mut out = io::stdout().lock();
    for call in answer["calls"].as_array().into_iter().flatten() {
        if arguments.json {
            writeln!(out, "{call}")?;
        } else {
            writeln!(out, "{}", call_line(call))?;
        }
    }

    Ok(())
}

fn print_event(name: &str, call: &Value, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();

    if as_json {
        let line = serde_json::json!({ "type": name, "call": call });
        writeln!(out, "{line}")?;
    } else {
        let name = name.strip_prefix("call.").unwrap_or(name);
        writeln!(out, "{name:16}  {}", call_line(call))?;
    }
    out.flush()
}
