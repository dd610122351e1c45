//! `cordboard serve`, and the commands around it: `migrate`, `config`, `token`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use crate::app::{self, Context, Reread, Roles, Service, ServiceError, Stop};
use crate::config::Settings;
use crate::domain::device::Device;
use crate::telemetry;

/// Run the service: ingress, worker and gateway in one process, nothing else needed; or some of
/// them, with servers
#[derive(clap::Args)]
pub(super) struct Serve {
    /// Only these parts of the service; all of them where none is named. Needs a broker and a
    /// database server
    #[arg(long, value_name = "ROLE", value_enum, value_delimiter = ',')]
    role: Vec<Role>,

    #[command(flatten)]
    settings: SettingsArguments,
}

/// A part of the service that can run alone, in any number
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// Takes phones' requests
    Ingress,
    /// Makes calls of them
    Worker,
    /// Page, API and event stream
    Gateway,
}

impl Serve {
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

/// Bring the database up to date
#[derive(clap::Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    settings: SettingsArguments,

    /// Only say which migrations there are and which the database has
    #[arg(long)]
    status: bool,
}

/// Print the settings in force, secrets left out
#[derive(clap::Args)]
pub(super) struct Config {
    #[command(flatten)]
    settings: SettingsArguments,
}

/// Print the token of a phone, one for each key
#[derive(clap::Args)]
pub(super) struct Token {
    /// The phone's MAC address, in any spelling
    mac: String,

    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(clap::Args)]
pub(super) struct SettingsArguments {
    /// Settings that differ from the defaults, as TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl SettingsArguments {
    pub(super) fn load(&self) -> Result<Settings, Failure> {
        Settings::load(self.config.as_deref(), environment())
            .map_err(|error| Failure::Config(error.to_string()))
    }
}

/// The environment, without what is no text: none of that is ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
}

impl From<ServiceError> for Failure {
    fn from(failed: ServiceError) -> Failure {
        match failed {
            ServiceError::Config(error) => Failure::Config(error.to_string()),
            ServiceError::IncompleteServerSettings(error) => Failure::Config(error.to_owned()),
            other => Failure::Service(other.to_string()),
        }
    }
}

pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(future)
}

pub(super) fn serve(arguments: &Serve) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let _written = telemetry::init_logging(&settings.log).map_err(Failure::Config)?;
    telemetry::log_panics();
    let metrics = telemetry::init_metrics().map_err(|error| Failure::Service(error.to_string()))?;
    let file = arguments.settings.config.clone();
    let reread: Reread = Arc::new(move || Settings::load(file.as_deref(), environment()));
    allow_many_connections();
    let stop = Stop::default();
    block_on(async {
        tokio::spawn(listen_to_signals(stop.clone()));
        let surroundings = Context {
            roles: arguments.roles(),
            clock: app::machine_clock(),
            metrics,
            reread,
            stop,
        };
        if let Some(service) = Service::start(&settings, surroundings).await? {
            // Nobody needs to read it.
            let _unread = greet(&service);
            service.run().await?;
        }
        Ok(())
    })
}

/// Every connection is an open file, and shells allow few of them unless asked.
fn allow_many_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as low as it was");
    }
}

fn greet(service: &Service) -> io::Result<()> {
    let app::Addresses {
        ingress,
        gateway,
        operations,
    } = service.addresses;
    let mut out = io::stdout().lock();
    writeln!(out, "Cordboard is running.")?;
    if let Some(ingress) = ingress {
        writeln!(out, "  phones send to   http://{ingress}/gs/cti/<event>")?;
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
            "  curl 'http://{ingress}/gs/cti/incoming?callId=12345&remote=03001234567&local=203&mac=AA:BB:CC'"
        )?;
    }
    match gateway {
        Some(gateway) => writeln!(out, "  curl http://{gateway}/api/v1/calls/live")?,
        None => writeln!(out, "  curl http://{operations}/readyz")?,
    }
    out.flush()
}

/// The first signal asks to finish, the second one to end now.
async fn listen_to_signals(stop: Stop) {
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
        stop.ask();
    }
}

pub(super) fn migrate(arguments: &Migrate) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let status = block_on(async { Ok(app::migrate(&settings, arguments.status).await?) })?;
    let mut out = io::stdout().lock();
    for migration in status {
        let state = if migration.applied {
            "applied"
        } else {
            "pending"
        };
        writeln!(
            out,
            "{:>4}  {state}  {}",
            migration.version, migration.description
        )?;
    }
    Ok(())
}

pub(super) fn config(arguments: &Config) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let shown = settings
        .shown()
        .map_err(|error| Failure::Config(error.to_string()))?;
    io::stdout().lock().write_all(shown.as_bytes())?;
    Ok(())
}

pub(super) fn token(arguments: &Token) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let device = Device::parse(&arguments.mac).filter(|device| matches!(device, Device::Mac(_)));
    let device = device.ok_or_else(|| {
        Failure::Usage("that is no MAC address: it has 12 hexadecimal digits".to_owned())
    })?;
    let access = settings
        .ingress
        .access()
        .map_err(|error| Failure::Config(error.to_string()))?;
    if access.keys.is_empty() {
        return Err(Failure::Usage(
            "no keys are set: see `ingress.keys` in the settings".to_owned(),
        ));
    }
    let mut out = io::stdout().lock();
    for key in &access.keys {
        writeln!(out, "{}", key.token(&device))?;
    }
    Ok(())
}
