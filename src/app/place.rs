//! Where things are kept, by the settings: in files of this machine, or on servers.

use std::path::PathBuf;
use std::str::FromStr;

use super::{Roles, ServiceError};
use crate::adapter::postgres::PostgresAddress;
use crate::adapter::rabbit::{BrokerAddress, Layout};
use crate::config::{BadConfig, Settings};

/// The database.
#[derive(Clone, Debug)]
pub(super) enum Database {
    File(PathBuf),
    Server(Box<PostgresAddress>),
}

impl FromStr for Database {
    type Err = String;

    fn from_str(url: &str) -> Result<Database, String> {
        match url.split_once(':') {
            Some(("sqlite", path)) => {
                Ok(Database::File(PathBuf::from(path.trim_start_matches("//"))))
            }
            Some(("postgres" | "postgresql", _)) => url
                .parse()
                .map(|address| Database::Server(Box::new(address))),
            _ => Err("neither postgres:// nor sqlite:".to_owned()),
        }
    }
}

/// The servers of a service that is more than one process.
#[derive(Clone)]
pub(super) struct Servers {
    pub broker: BrokerAddress,
    pub layout: Layout,
    /// None where nobody asks it: an ingress alone.
    pub database: Option<PostgresAddress>,
}

pub(super) fn database(settings: &Settings) -> Result<Database, BadConfig> {
    Ok(settings
        .database
        .address()?
        .unwrap_or_else(|| Database::File(settings.data_dir.join("cordboard.db"))))
}

pub(super) fn layout(settings: &Settings) -> Layout {
    Layout {
        generation: settings.broker.generation,
        partitions: settings.broker.partitions,
    }
}

/// The servers, or none where the service runs embedded. One without the other is no way to run.
pub(super) fn servers(settings: &Settings, roles: Roles) -> Result<Option<Servers>, ServiceError> {
    let broker: Option<BrokerAddress> = settings.broker.address()?;
    match (broker, database(settings)?) {
        (Some(broker), Database::Server(database)) => Ok(Some(Servers {
            broker,
            layout: layout(settings),
            database: Some(*database),
        })),
        (None, Database::File(_)) => Ok(None),
        (Some(broker), Database::File(_)) if roles.ingress && !roles.worker && !roles.gateway => {
            Ok(Some(Servers {
                broker,
                layout: layout(settings),
                database: None,
            }))
        }
        (Some(_), Database::File(_)) => Err(ServiceError::IncompleteServerSettings(
            "`broker.url` is set and `database.url` names no PostgreSQL: workers on several machines need a database they all reach. Set both, or neither to run embedded",
        )),
        (None, Database::Server(_)) => Err(ServiceError::IncompleteServerSettings(
            "`database.url` names PostgreSQL and `broker.url` is not set: events reach its workers over RabbitMQ. Set both, or neither to run embedded",
        )),
    }
}
