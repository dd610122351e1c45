//! `cordboard simulate-days`: plays days of a world that knows the truth through the core, without
//! any server, and compares the records with what really happened.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde_json::{Value, json};

use super::failure::Failure;
use crate::domain::fact::{Fact, Site};
use crate::domain::policy::Policy;
use crate::domain::reconstruct;
use crate::domain::region::Region;
use crate::domain::time::At;
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

    for site in 0..arguments.sites {
        let seed = arguments.seed.wrapping_add(site);
        let day = Day::play(WorldSettings {
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
        });
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
