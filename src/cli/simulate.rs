//! `cordboard simulate`: a fleet of phones against any ingress.

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use clap::builder::PossibleValue;

use super::failure::Failure;
use super::progress;
use super::serve::SettingsArguments;
use crate::domain::device::Device;
use crate::simulate::{Chaos, Dice, Fleet, Outcome, mac, play};

/// Let a fleet of phones play realistic calls against an ingress
///
/// Ring groups of three phones; 60 % of the calls answered, 25 % missed, 5 % refused, 10 %
/// outgoing, some transferred. The same seed plays the same calls. Ends when the last call of the
/// fleet has ended.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where the ingress listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    to: String,

    /// How many calls begin per second
    #[arg(long, value_name = "NUMBER", default_value_t = 2.0)]
    calls_per_second: f64,

    /// How long calls begin, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    duration: u64,

    #[arg(long, value_name = "NUMBER", default_value_t = 30)]
    phones: u64,

    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Play this many times as fast: everything in a call happens closer together too, so the rules
    /// of the site should be scaled as well
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    speed: f64,

    /// What networks and firmware do to the reports; several separated by commas, or `all`
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    chaos: Vec<Trouble>,

    /// The settings of the ingress: if it has keys, the phones use their tokens
    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Clone, Copy)]
enum Trouble {
    One(Chaos),
    All,
}

impl clap::ValueEnum for Trouble {
    fn value_variants<'a>() -> &'a [Trouble] {
        const VARIANTS: [Trouble; Chaos::ALL.len() + 1] = {
            let mut variants = [Trouble::All; Chaos::ALL.len() + 1];
            let mut index = 0;
            while index < Chaos::ALL.len() {
                variants[index] = Trouble::One(Chaos::ALL[index]);
                index += 1;
            }
            variants
        };
        &VARIANTS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Trouble::One(chaos) => chaos.name().into(),
            Trouble::All => "all".into(),
        })
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    for (name, value) in [
        ("--calls-per-second", arguments.calls_per_second),
        ("--speed", arguments.speed),
    ] {
        if !(value.is_finite() && value > 0.0) {
            return Err(Failure::Usage(format!("{name} must be greater than 0")));
        }
    }
    let to = resolve(&arguments.to)?;
    let fleet = Fleet {
        seed: arguments.seed,
        phones: arguments.phones,
        calls_per_second: arguments.calls_per_second,
        duration: Duration::from_secs(arguments.duration),
    };
    let mut reports = fleet.reports();
    let mut dice = Dice::new(arguments.seed);
    for chaos in arguments.chaos.iter().flat_map(|trouble| match trouble {
        Trouble::One(chaos) => std::slice::from_ref(chaos),
        Trouble::All => &Chaos::ALL[..],
    }) {
        chaos.strike(&mut reports, &mut dice);
    }
    let bar = progress::bar("events")?;
    bar.set_length(reports.len() as u64);
    let access = arguments
        .settings
        .load()?
        .ingress
        .access()
        .map_err(|error| Failure::Config(error.to_string()))?;
    let token = |phone: u64| {
        Device::parse(&mac(phone))
            .and_then(|device| access.keys.first().map(|key| key.token(&device)))
    };
    let outcome = play(to, reports, arguments.speed, token, |done| {
        bar.set_position(done)
    });
    bar.finish();
    report(&outcome)?;
    if outcome.failed + outcome.refused > 0 {
        let why = outcome
            .first_refusal
            .as_deref()
            .unwrap_or("no reason was given");
        return Err(Failure::Service(format!(
            "{} events were not accepted; the first one because of: {why}",
            outcome.failed + outcome.refused
        )));
    }
    Ok(())
}

fn resolve(to: &str) -> Result<SocketAddr, Failure> {
    let found = to
        .to_socket_addrs()
        .map_err(|error| Failure::Usage(format!("--to {to:?}: {error}")))?
        .next();
    found.ok_or_else(|| Failure::Usage(format!("--to {to:?} has no address")))
}

fn report(outcome: &Outcome) -> io::Result<()> {
    let millis = |share: f64| outcome.percentile(share).as_secs_f64() * 1_000.0;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "accepted {}  refused {}  unanswered {}",
        outcome.accepted, outcome.refused, outcome.failed
    )?;
    writeln!(
        out,
        "latency ms  p50 {:.2}  p90 {:.2}  p99 {:.2}  max {:.2}",
        millis(0.5),
        millis(0.9),
        millis(0.99),
        millis(1.0)
    )
}
