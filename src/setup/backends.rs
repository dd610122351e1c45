//! Which database and which broker the settings name: files of this machine, or servers.

use std::path::PathBuf;
use std::str::FromStr;

use super::{Roles, SetupError};
use crate::adapter::postgres::{PartitionAddress, PostgresAddress};
use crate::adapter::rabbit::BrokerAddress;
use crate::config::{BadConfig, Settings};
use crate::wire::partition::Layout;

const DATABASE_FILE: &str = "cordboard.db";

/// The place of the ledger.
#[derive(Clone, Debug)]
pub enum DatabaseAddress {
    File(PathBuf),
    Server(Box<PostgresAddress>),
}

impl FromStr for DatabaseAddress {
    type Err = String;

    fn from_str(url: &str) -> Result<DatabaseAddress, String> {
        match url.split_once(':') {
            Some(("sqlite", path)) => Ok(DatabaseAddress::File(PathBuf::from(
                path.trim_start_matches("//"),
            ))),
            Some(("postgres" | "postgresql", _)) => {
                let address = url.parse()?;
                Ok(DatabaseAddress::Server(Box::new(address)))
            }
            _ => Err("neither postgres:// nor sqlite:".to_owned()),
        }
    }
}

/// The servers of the production profile.
#[derive(Clone)]
pub struct Servers {
    pub broker: BrokerAddress,
    pub layout: Layout,
    /// `None` in a process that reads no database: an ingress alone.
    pub database: Option<PostgresAddress>,
}

impl Servers {
    #[must_use]
    pub fn partition(&self, number: u32) -> PartitionAddress {
        PartitionAddress::of(self.layout, number)
    }
}

pub fn database(settings: &Settings) -> Result<DatabaseAddress, BadConfig> {
    let address = settings.database.address()?;

    Ok(address.unwrap_or_else(|| DatabaseAddress::File(settings.data_dir.join(DATABASE_FILE))))
}

#[must_use]
pub fn layout(settings: &Settings) -> Layout {
    Layout {
        generation: settings.broker.generation,
        partitions: settings.broker.partitions,
    }
}

/// The servers, or `None` for the embedded profile.
///
/// # Errors
/// When only one of broker and database is set, and a role needs both.
pub fn servers(settings: &Settings, roles: Roles) -> Result<Option<Servers>, SetupError> {
    let broker: Option<BrokerAddress> = settings.broker.address()?;
    let layout = layout(settings);

    match (broker, database(settings)?) {
        (Some(broker), DatabaseAddress::Server(database)) => Ok(Some(Servers {
            broker,
            layout,
            database: Some(*database),
        })),
        (None, DatabaseAddress::File(_)) => Ok(None),
        (Some(broker), DatabaseAddress::File(_)) if roles.ingress && !roles.need_database() => {
            Ok(Some(Servers {
                broker,
                layout,
                database: None,
            }))
        }
        (Some(_), DatabaseAddress::File(_)) => Err(SetupError::IncompleteServerSettings(
            "`broker.url` is set and `database.url` names no PostgreSQL: workers on several \
             machines need a database that all of them reach. Set both, or neither to run embedded",
        )),
        (None, DatabaseAddress::Server(_)) => Err(SetupError::IncompleteServerSettings(
            "`database.url` names PostgreSQL and `broker.url` is not set: events reach its workers \
             over RabbitMQ. Set both, or neither to run embedded",
        )),
    }
}

/// The servers, for a command that needs a broker.
pub fn require_servers(settings: &Settings) -> Result<Servers, SetupError> {
    let servers = servers(settings, Roles::ALL)?;

    servers.ok_or(SetupError::IncompleteServerSettings(
        "`broker.url` and `database.url` are not set: the service runs embedded, without a broker",
    ))
}
