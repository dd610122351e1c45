//! `cordboard simulate`: plays the calls of a fleet of phones against an ingress.

use std::time::Duration;

use clap::builder::PossibleValue;

use super::failure::Failure;
use super::options::SettingsArguments;
use super::phones::{Phones, check_outcome, print_outcome};
use crate::simulate::{Chaos, Dice, Fleet, Report, TimedRequest, mac};

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

    let phones = Phones::new(&arguments.to, &arguments.settings)?;
    let requests = reports(arguments)
        .into_iter()
        .map(|report| TimedRequest {
            at: report.at.div_f64(arguments.speed),
            phone: report.phone,
            target: phones.target(&mac(report.phone), report.event, &report.parameters()),
        })
        .collect();
    let outcome = phones.play(requests)?;

    print_outcome(&outcome)?;
    check_outcome(&outcome)
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
