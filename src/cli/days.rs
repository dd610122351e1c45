//! `cordboard simulate-days`: plays days of a world that knows the truth, and compares the records
//! with what really happened: those of the core, without any server, or those of a running service.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::failure::Failure;
use super::options::SettingsArguments;
use super::phones::{Phones, check_outcome, print_outcome};
use super::runtime::block_on;
use crate::chain::Chain;
use crate::domain::fact::{Fact, Site};
use crate::domain::policy::Policy;
use crate::domain::reconstruct;
use crate::domain::region::Region;
use crate::domain::time::At;
use crate::ops::RecordedCalls;
use crate::setup::machine_clock;
use crate::simulate::TimedRequest;
use crate::simulate::world::{Day, Load, Network, Score, WorldReport, WorldSettings, judge};
use crate::wire::call_json::CallJson;
use crate::wire::{fact_line, instant};

/// 2026-03-02T08:00:00Z, when every day begins.
const EPOCH: i64 = 1_772_438_400_000_000;

/// Play whole days of calls offline, and compare the records with what really happened
///
/// Every site is a PBX with phones of several models, ring groups, hunts, queues, transfers, pickups
/// and a network with delays and repetitions. The same seed plays the same days. The table counts
/// records that are right in every field, false and lost missed calls, calls that were split or
/// merged, and transfers; the worst examples follow.
///
/// With `--verify` the phones of one site report to a running service in real time, and the records
/// are those of its API. Give the phones a site of their own: every other call of the site counts as
/// one too many.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Sites, each with a day of its own
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    sites: u64,

    /// Calls of a day
    #[arg(long, value_name = "NUMBER", default_value_t = 300)]
    calls: usize,

    /// How closely the calls follow each other
    #[arg(long, value_enum, default_value_t = LoadArgument::Busy)]
    load: LoadArgument,

    /// Requests of a thousand that the network loses
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    lost: u64,

    /// Wrong records to print
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    examples: usize,

    /// Print the reports as facts for `reconstruct` and `explain`, and judge nothing
    #[arg(long)]
    facts: bool,

    /// Seed of the first site
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Play one day against a running service in real time, and judge what its API says
    #[arg(long, conflicts_with_all = ["facts", "sites"])]
    verify: bool,

    /// Address of the ingress of the service
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    to: String,

    /// Address of the API of the service
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8088")]
    api: String,

    /// The site to which the service counts the phones
    #[arg(long, value_name = "NAME", default_value = "default")]
    site: String,

    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LoadArgument {
    Light,
    Busy,
    Overload,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut score = Score {
        examples_shown: arguments.examples,
        ..Score::default()
    };

    if arguments.verify {
        verify(arguments, &mut score)?;
        write!(io::stdout().lock(), "{score}")?;
        return Ok(());
    }

    for site in 0..arguments.sites {
        let seed = arguments.seed.wrapping_add(site);
        let day = day(arguments, seed);
        if arguments.facts {
            let mut out = io::stdout().lock();
            for report in &day.reports {
                writeln!(out, "{}", line(report))?;
            }
            continue;
        }
        let records = records(&day)?;
        judge(seed, &day.calls, &records, EPOCH, &mut score);
    }

    if !arguments.facts {
        write!(io::stdout().lock(), "{score}")?;
    }
    Ok(())
}

fn day(arguments: &Arguments, seed: u64) -> Day {
    Day::play(WorldSettings {
        seed,
        calls: arguments.calls,
        load: match arguments.load {
            LoadArgument::Light => Load::Light,
            LoadArgument::Busy => Load::Busy,
            LoadArgument::Overload => Load::Overload,
        },
        network: Network {
            lost: arguments.lost,
            repeated: 10,
        },
        call_ids: seed.is_multiple_of(2),
    })
}

/// Plays a day against a running service, and judges the records of its API.
fn verify(arguments: &Arguments, score: &mut Score) -> Result<(), Failure> {
    let phones = Phones::new(&arguments.to, &arguments.settings)?;
    let day = day(arguments, arguments.seed);
    let requests = day
        .reports
        .iter()
        .map(|report| request(&phones, report))
        .collect();

    let began = machine_clock().now();
    let outcome = phones.play(requests)?;
    print_outcome(&outcome)?;
    check_outcome(&outcome)?;

    let recorded = RecordedCalls {
        api: arguments.api.trim_end_matches('/').to_owned(),
        site: arguments.site.clone(),
        since: began,
    };
    let records = block_on(async {
        let decided = recorded.decided().await;
        decided.map_err(|error| Failure::Service(Chain(&error).to_string()))
    })?;
    judge(arguments.seed, &day.calls, &records, began.0, score);

    Ok(())
}

/// A report as the request of its phone.
fn request(phones: &Phones, report: &WorldReport) -> TimedRequest {
    let optional = [("r", &report.remote), ("c", &report.call_id)];
    let optional = optional.into_iter().filter_map(|(name, value)| {
        let value = utf8_percent_encode(value.as_deref()?, NON_ALPHANUMERIC);
        Some(format!("&{name}={value}"))
    });
    let known = format!("m={}&l={}", report.mac, report.local);
    let parameters: String = std::iter::once(known).chain(optional).collect();

    TimedRequest {
        at: Duration::from_micros(report.at.max(0).cast_unsigned()),
        // The last part of the address numbers the phones of a site.
        phone: u64::from_str_radix(report.mac.get(6..).unwrap_or(""), 16).unwrap_or(0),
        target: phones.target(&report.mac, report.event, &parameters),
    }
}

/// The records that the core makes of a day.
fn records(day: &Day) -> Result<Vec<Value>, Failure> {
    let policy = Arc::new(Policy {
        region: Region::parse("DE"),
        ..Policy::default()
    });
    let facts: Result<Vec<Fact>, String> = day
        .reports
        .iter()
        .map(|report| {
            fact_line::parse(&line(report), |_| &*policy).map_err(|error| error.to_string())
        })
        .collect();
    let records = reconstruct(
        Site::default(),
        Arc::clone(&policy),
        &facts.map_err(Failure::Service)?,
        At::END,
    );

    records
        .iter()
        .map(|record| serde_json::to_value(CallJson::of(record)))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::Service(error.to_string()))
}

/// A report as a line of facts.
fn line(report: &WorldReport) -> String {
    let mut fields = BTreeMap::from([
        ("at", instant::text(At(EPOCH + report.at))),
        ("event", report.event.to_owned()),
        ("mac", report.mac.clone()),
        ("local", report.local.clone()),
    ]);
    fields.extend(report.remote.clone().map(|remote| ("remote", remote)));
    fields.extend(report.call_id.clone().map(|id| ("call_id", id)));

    json!(fields).to_string()
}
