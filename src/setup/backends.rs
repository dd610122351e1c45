//! Which database and which broker the settings name: files of this machine, or servers.

use std::path::PathBuf;
use std::str::FromStr;

use super::{Roles, SetupError};
use crate::adapter::postgres::{PartitionAddress, PostgresAddress};
use crate::adapter::rabbit::{BrokerAddress, Management};
use crate::adapter::redis::RedisAddress;
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
            Some(("sqlite", path)) => sqlite_file(path).map(DatabaseAddress::File),
            Some(("postgres" | "postgresql", _)) => {
                let address = url.parse()?;
                Ok(DatabaseAddress::Server(Box::new(address)))
            }
            _ => Err("neither postgres:// nor sqlite:".to_owned()),
        }
    }
}

/// The file behind `sqlite:`: `sqlite:PATH`, or as `SQLAlchemy` reads it with three slashes before a
/// relative path, and four before an absolute one.
fn sqlite_file(path: &str) -> Result<PathBuf, String> {
    let path = path
        .strip_prefix("///")
        .or_else(|| path.strip_prefix("//"))
        .unwrap_or(path);

    if path.is_empty() || path == ":memory:" {
        return Err("it names no file".to_owned());
    }
    Ok(PathBuf::from(path))
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

/// Checks the addresses of all servers, of which a process reads only those of its roles.
///
/// # Errors
/// The first address that is none, or whose file cannot be read.
pub fn check_addresses(settings: &Settings) -> Result<(), BadConfig> {
    settings.broker.address::<BrokerAddress>()?;
    settings.broker.management::<Management>()?;
    settings.live.address::<RedisAddress>()?;
    database(settings)?;

    Ok(())
}

/// The layout of the queues. Without a broker the journal is the only queue.
#[must_use]
pub fn layout(settings: &Settings) -> Layout {
    let has_broker = !matches!(settings.broker.address::<BrokerAddress>(), Ok(None));

    Layout {
        generation: settings.broker.generation,
        partitions: if has_broker {
            settings.broker.partitions
        } else {
            1
        },
    }
}

/// The servers of several processes, or `None` where the journal is the queue: then all of the
/// service is one process, whatever its database.
///
/// # Errors
/// When a broker is set and a role needs a database that is a file.
pub fn servers(settings: &Settings, roles: Roles) -> Result<Option<Servers>, SetupError> {
    let broker: Option<BrokerAddress> = settings.broker.address()?;
    let layout = layout(settings);

    match (broker, database(settings)?) {
        (Some(broker), DatabaseAddress::Server(database)) => Ok(Some(Servers {
            broker,
            layout,
            database: Some(*database),
        })),
        (None, _) => Ok(None),
        (Some(broker), DatabaseAddress::File(_)) if roles.ingress && !roles.need_database() => {
            Ok(Some(Servers {
                broker,
                layout,
                database: None,
            }))
        }
        (Some(_), DatabaseAddress::File(_)) => Err(SetupError::IncompleteServerSettings(
            "`broker.url` is set and `database.url` names no PostgreSQL: a SQLite file has one \
             writer, and the worker of each partition writes by itself. Set `database.url` too, or \
             leave `broker.url` out: then the journal is the queue",
        )),
    }
}

/// The servers, for a command that needs a broker.
pub fn require_servers(settings: &Settings) -> Result<Servers, SetupError> {
    let servers = servers(settings, Roles::ALL)?;

    servers.ok_or(SetupError::IncompleteServerSettings(
        "`broker.url` is not set: the journal is the queue, and there is no broker",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_files_are_read_as_sqlalchemy_reads_them() {
        for (url, path) in [
            ("sqlite:///./relative.db", "./relative.db"),
            ("sqlite:///relative.db", "relative.db"),
            ("sqlite:////absolute.db", "/absolute.db"),
            ("sqlite:/absolute.db", "/absolute.db"),
            ("sqlite:relative.db", "relative.db"),
            ("sqlite://relative.db", "relative.db"),
        ] {
            let Ok(DatabaseAddress::File(read)) = url.parse() else {
                panic!("{url}");
            };
            assert_eq!(read, PathBuf::from(path), "{url}");
        }

        for url in ["sqlite:", "sqlite://", "sqlite::memory:", "mysql://db/x"] {
            assert!(url.parse::<DatabaseAddress>().is_err(), "{url}");
        }
    }
}
