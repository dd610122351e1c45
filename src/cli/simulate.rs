//! `cordboard simulate`: plays the calls of a fleet of phones against an ingress.

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use clap::builder::PossibleValue;

use super::failure::Failure;
use super::options::SettingsArguments;
use super::progress;
use crate::domain::device::Device;
use crate::simulate::{Chaos, Dice, Fleet, Outcome, Report, mac, play};

/// Play realistic calls of a fleet of phones against an ingress
///
/// The phones form ring groups of three. 60 % of the calls are answered, 25 % missed, 5 % refused,
/// 10 % outgoing, and some are transferred. The same seed plays the same calls. If the settings
/// contain keys, as those of the ingress do, the phones use tokens. The command ends after the last
/// call.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Address of the ingress
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    to: String,

    /// New calls per second
    #[arg(long, value_name = "NUMBER", default_value_t = 2.0)]
    calls_per_second: f64,

    /// Time during which new calls begin, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    duration: u64,

    /// Phones of the fleet
    #[arg(long, value_name = "NUMBER", default_value_t = 30)]
    phones: u64,

    /// Seed of the random choices
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Play the calls this many times as fast. The times within a call shrink too, so scale the
    /// rules of the site by the same factor
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    speed: f64,

    /// Faults of networks and firmware to apply to the requests: kinds separated by commas, or
    /// `all`
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    chaos: Vec<ChaosArgument>,

    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Clone, Copy)]
enum ChaosArgument {
    One(Chaos),
    All,
}

impl clap::ValueEnum for ChaosArgument {
    fn value_variants<'a>() -> &'a [ChaosArgument] {
        const VARIANTS: [ChaosArgument; Chaos::ALL.len() + 1] = {
            let mut variants = [ChaosArgument::All; Chaos::ALL.len() + 1];
            let mut index = 0;
            while index < Chaos::ALL.len() {
                variants[index] = ChaosArgument::One(Chaos::ALL[index]);
                index += 1;
            }
            variants
        };
        &VARIANTS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            ChaosArgument::One(chaos) => chaos.name().into(),
            ChaosArgument::All => "all".into(),
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
    let reports = reports(arguments);
    let access = arguments
        .settings
        .load()?
        .ingress
        .access()
        .map_err(|error| Failure::Config(error.to_string()))?;

    let bar = progress::bar("events")?;
    bar.set_length(reports.len() as u64);
    let token = |phone: u64| {
        Device::parse(&mac(phone))
            .and_then(|device| access.keys.first().map(|key| key.token(&device)))
    };
    let outcome = play(to, reports, arguments.speed, token, |sent| {
        bar.set_position(sent);
    });
    bar.finish();

    print_outcome(&outcome)?;
    let rejected = outcome.failed + outcome.refused;
    if rejected > 0 {
        let reason = outcome
            .first_refusal
            .as_deref()
            .unwrap_or("no response from the ingress");
        return Err(Failure::Service(format!(
            "{rejected} events were not accepted; first reason: {reason}"
        )));
    }

    Ok(())
}

/// The requests of the fleet, with the faults applied.
fn reports(arguments: &Arguments) -> Vec<Report> {
    let fleet = Fleet {
        seed: arguments.seed,
        phones: arguments.phones,
        calls_per_second: arguments.calls_per_second,
        duration: Duration::from_secs(arguments.duration),
    };
    let mut reports = fleet.reports();

    let mut dice = Dice::new(arguments.seed);
    for chaos in arguments.chaos.iter().flat_map(|argument| match argument {
        ChaosArgument::One(chaos) => std::slice::from_ref(chaos),
        ChaosArgument::All => &Chaos::ALL[..],
    }) {
        chaos.apply_to(&mut reports, &mut dice);
    }

    reports
}

fn resolve(to: &str) -> Result<SocketAddr, Failure> {
    let address = to
        .to_socket_addrs()
        .map_err(|error| Failure::Usage(format!("--to {to:?}: {error}")))?
        .next();

    address.ok_or_else(|| Failure::Usage(format!("--to {to:?} has no address")))
}

fn print_outcome(outcome: &Outcome) -> io::Result<()> {
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
