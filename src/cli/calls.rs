//! `cordboard calls`: the call log of a running service, and calls as they happen.

use std::io::{self, Write};

use serde_json::Value;

use super::api::{ApiArguments, call_line, given, print_list};
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
        return block_on(api.follow(|name, data| {
            let call = &data["call"];
            let is_of_site = arguments
                .site
                .as_ref()
                .is_none_or(|site| call["site"].as_str() == Some(site));
            if !call.is_null() && is_of_site {
                print_event(name, call, arguments.json)?;
            }
            Ok(())
        }));
    }

    let site = ("site", &arguments.site);
    let (path, mut query) = if arguments.live {
        ("calls/live", given([site]))
    } else {
        let filters = [
            site,
            ("since", &arguments.since),
            ("text", &arguments.text),
            ("outcome", &arguments.outcome),
        ];
        ("calls", given(filters))
    };
    query.push(("limit", arguments.limit.to_string()));

    let answer = block_on(async { Ok(api.get(path, &query).await?) })?;
    print_list(&answer["calls"], arguments.json, call_line)
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
