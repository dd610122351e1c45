//! The simulated phones of a command: what they know of the ingress, and how their requests are
//! played.

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};

use super::failure::Failure;
use super::options::SettingsArguments;
use super::progress;
use crate::domain::device::Device;
use crate::simulate::{Outcome, TimedRequest, play};

type TokenOf = Box<dyn Fn(&Device) -> Option<String>>;

/// Phones that are configured for an ingress.
pub(super) struct Phones {
    ingress: SocketAddr,
    /// The token of a phone, if phones need one.
    token: TokenOf,
}

impl Phones {
    /// Phones of the ingress `to`, with tokens if the settings contain keys.
    pub fn new(to: &str, settings: &SettingsArguments) -> Result<Phones, Failure> {
        let access = settings.load()?.ingress.access();
        let access = access.map_err(|error| Failure::Config(error.to_string()))?;

        Ok(Phones {
            ingress: resolve(to)?,
            token: Box::new(move |phone| access.keys.first().map(|key| key.token(phone))),
        })
    }

    /// Path and query of a phone's report.
    pub fn target(&self, mac: &str, event: &str, parameters: &str) -> String {
        let token = Device::parse(mac)
            .and_then(|phone| (self.token)(&phone))
            .map(|token| format!("{token}/"))
            .unwrap_or_default();

        format!("/gs/cti/{token}{event}?{parameters}")
    }

    /// Plays requests, and shows their progress.
    pub fn play(&self, requests: Vec<TimedRequest>) -> Result<Outcome, Failure> {
        let bar = progress::bar("events")?;
        bar.set_length(requests.len() as u64);
        let outcome = play(self.ingress, requests, |sent| bar.set_position(sent));
        bar.finish();

        Ok(outcome)
    }
}

fn resolve(to: &str) -> Result<SocketAddr, Failure> {
    let address = to
        .to_socket_addrs()
        .map_err(|error| Failure::Usage(format!("--to {to:?}: {error}")))?
        .next();

    address.ok_or_else(|| Failure::Usage(format!("--to {to:?} has no address")))
}

/// Prints the numbers of an outcome.
pub(super) fn print_outcome(outcome: &Outcome) -> io::Result<()> {
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

/// Fails if the ingress did not accept every event.
pub(super) fn check_outcome(outcome: &Outcome) -> Result<(), Failure> {
    let rejected = outcome.failed + outcome.refused;
    if rejected == 0 {
        return Ok(());
    }

    let reason = outcome.first_refusal.as_deref();
    Err(Failure::Service(format!(
        "{rejected} events were not accepted; first reason: {}",
        reason.unwrap_or("no response from the ingress")
    )))
}
