//! `cordboard serve`: runs the service, or some of its roles.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use super::options::SettingsArguments;
use super::runtime::block_on;
use crate::app::{self, Context, Reread, Service, Stop};
use crate::config::{Settings, environment};
use crate::setup::{Roles, check_clock, machine_clock};
use crate::telemetry;

/// Run the service: ingress, worker and gateway in one process, or with RabbitMQ some of these roles
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Run only these roles, separated by commas; all roles by default. Some of the roles need
    /// `broker.url` in the settings, and `database.url` for every role other than ingress
    #[arg(long, value_name = "ROLE", value_enum, value_delimiter = ',')]
    role: Vec<Role>,

    #[command(flatten)]
    settings: SettingsArguments,
}

/// A role of the service. Any number of processes may have it
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// Receives the requests of phones
    Ingress,
    /// Folds events into calls
    Worker,
    /// Serves the page, the API and the event stream
    Gateway,
}

impl Arguments {
    fn roles(&self) -> Roles {
        if self.role.is_empty() {
            return Roles::ALL;
        }

        let has = |role| self.role.contains(&role);
        Roles {
            ingress: has(Role::Ingress),
            worker: has(Role::Worker),
            gateway: has(Role::Gateway),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;

    let _log_guard = telemetry::init_logging(&settings.log).map_err(Failure::Config)?;
    telemetry::log_panics();
    let metrics = telemetry::init_metrics().map_err(|error| Failure::Service(error.to_string()))?;
    raise_open_file_limit();

    let clock = machine_clock();
    check_clock(clock.now(), arguments.roles())?;

    let file = arguments.settings.file().map(Path::to_owned);
    let reread: Reread = Arc::new(move || Settings::load(file.as_deref(), environment()?));
    let stop = Stop::default();

    block_on(async {
        outlive_hangups();
        tokio::spawn(stop_on_signals(stop.clone()));

        let context = Context {
            roles: arguments.roles(),
            clock,
            metrics,
            reread,
            stop,
        };
        if let Some(service) = Service::start(&settings, context).await? {
            // The service runs without a reader of standard output.
            let _ = print_addresses(&service);
            service.run().await?;
        }

        Ok(())
    })
}

/// Raises the limit of open files to the allowed maximum: every connection is an open file, and
/// shells allow few by default.
fn raise_open_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;

    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "open file limit cannot be raised; connections may be rejected");
    }
}

fn print_addresses(service: &Service) -> io::Result<()> {
    let app::Addresses {
        ingress,
        gateway,
        operations,
    } = service.addresses;
    let mut out = io::stdout().lock();

    writeln!(out, "Cordboard is running.")?;
    if let Some(ingress) = ingress {
        writeln!(out, "  phone requests   http://{ingress}/gs/cti/<event>")?;
    }
    if let Some(gateway) = gateway {
        writeln!(out, "  page and API     http://{gateway}/")?;
    }
    writeln!(
        out,
        "  health, metrics  http://{operations}/healthz  http://{operations}/metrics"
    )?;

    writeln!(out, "Try it:")?;
    if let Some(ingress) = ingress {
        writeln!(
            out,
            "  curl 'http://{ingress}/gs/cti/incoming?callId=12345&remote=03001234567&local=203\
             &mac=000b82000203'"
        )?;
    }
    match gateway {
        Some(gateway) => writeln!(out, "  curl http://{gateway}/api/v1/calls/live")?,
        None => writeln!(out, "  curl http://{operations}/readyz")?,
    }

    out.flush()
}

/// Keeps SIGHUP from ending the process, whichever roles it has and however early the signal comes. An
/// ingress reads its access rules again; other roles have nothing to read.
fn outlive_hangups() {
    // The handler stays when its stream is dropped.
    if let Err(error) = signal(SignalKind::hangup()) {
        tracing::warn!(%error, "SIGHUP would end the process");
    }
}

/// Stops the service on SIGTERM or SIGINT: the first signal finishes work in progress, the second
/// one ends the process at once.
async fn stop_on_signals(stop: Stop) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };

    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!(now = stop.soft.is_cancelled(), "stopping");
        stop.request();
    }
}
