//! Looking at everything the service needs, without changing anything: what is well, what is not,
//! and what to do about it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::place::Database;
use super::{place, servers};
use crate::adapter::journal::{Journal, OpenError, Opened};
use crate::adapter::sqlite::SqliteLedger;
use crate::config::Settings;
use crate::domain::time::{At, Span};
use crate::port::clock::Clock;
use crate::port::ledger::LedgerError;
use crate::wire::instant;
use crate::wire::message::Message;

/// A clock that shows less was never set: 2025-01-01T00:00:00Z.
const PLAUSIBLE: At = At(1_735_689_600_000_000);
/// Instants that were given run ahead of the clock by no more than this.
const AHEAD_MAX: Span = Span::seconds(1);

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    Good,
    /// It works, and somebody should know.
    Note,
    Bad,
}

/// What was found in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub place: &'static str,
    pub grade: Grade,
    pub told: String,
}

/// Looks at everything in turn.
pub async fn examine(settings: &Settings, clock: &dyn Clock) -> Vec<Finding> {
    let folder = settings.data_dir.join("journal");
    let journal = Journal::inspect(&folder);
    let running = matches!(journal, Err(OpenError::InUse { .. }));
    let last = journal
        .as_ref()
        .ok()
        .and_then(|opened| opened.last.as_deref())
        .and_then(|message| Message::decode(message).ok());
    let mut findings = vec![
        access(settings),
        data_dir(settings),
        see_journal(&folder, journal),
        clock_of(clock.now(), last.map(|message| message.at())),
    ];
    match place::database(settings) {
        Ok(Database::File(path)) => findings.extend(database(&path).await),
        Ok(Database::Server(address)) => {
            findings.extend(servers::database(&address, settings).await)
        }
        Err(error) => findings.push(finding("database", Grade::Bad, error.to_string())),
    }
    findings.extend(servers::broker(settings).await);
    let listeners = [
        ("ingress", settings.ingress.listen),
        ("gateway", settings.gateway.listen),
        ("operations", settings.operations.listen),
    ];
    findings.extend(listeners.map(|(place, address)| port(place, address, running)));
    findings
}

pub(super) fn finding(place: &'static str, grade: Grade, told: impl Into<String>) -> Finding {
    Finding {
        place,
        grade,
        told: told.into(),
    }
}

fn access(settings: &Settings) -> Finding {
    match settings.ingress.access() {
        Ok(access) if access.keys.is_empty() && access.networks.is_empty() => finding(
            "access",
            Grade::Note,
            "anybody who reaches the ingress may report; before phones of other machines do, set `ingress.keys` or `ingress.networks`",
        ),
        Ok(access) => finding(
            "access",
            Grade::Good,
            format!(
                "{} keys, {} networks",
                access.keys.len(),
                access.networks.len()
            ),
        ),
        Err(error) => finding("access", Grade::Bad, error.to_string()),
    }
}

/// Whether files can be made there, and whether they have room.
fn data_dir(settings: &Settings) -> Finding {
    let folder = &settings.data_dir;
    let Some(existing) = nearest_existing(folder) else {
        return finding(
            "data",
            Grade::Bad,
            format!(
                "{}: neither it nor a folder above it exists; set `data_dir`",
                folder.display()
            ),
        );
    };
    let tried = tempfile::Builder::new()
        .prefix(".cordboard-doctor")
        .tempfile_in(&existing);
    if let Err(error) = tried {
        return finding(
            "data",
            Grade::Bad,
            format!(
                "{}: nothing can be written there ({error}); let the service's user own it",
                existing.display()
            ),
        );
    }
    let free = match rustix::fs::statvfs(&existing) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            return finding(
                "data",
                Grade::Bad,
                format!("{}: {error}", existing.display()),
            );
        }
    };
    let told = format!("{}: {} MiB free", folder.display(), free >> 20);
    let open_to_all =
        std::fs::metadata(folder).is_ok_and(|folder| folder.permissions().mode() & 0o007 != 0);
    if open_to_all {
        return finding(
            "data",
            Grade::Note,
            format!(
                "{}: every user of this machine can look into it; `chmod o-rwx` it",
                folder.display()
            ),
        );
    }
    if free < settings.journal.segment_bytes {
        let needed = settings.journal.segment_bytes >> 20;
        return finding(
            "data",
            Grade::Bad,
            format!(
                "{told}, a segment of the journal needs {needed}; free some, or lower `journal.segment_bytes`"
            ),
        );
    }
    if free < settings.journal.total_bytes_max {
        return finding(
            "data",
            Grade::Note,
            format!("{told}: the disk is full before `journal.total_bytes_max` is reached"),
        );
    }
    finding("data", Grade::Good, told)
}

fn nearest_existing(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute
        .ancestors()
        .find(|above| above.is_dir())
        .map(Path::to_owned)
}

fn see_journal(folder: &Path, journal: Result<Opened, OpenError>) -> Finding {
    match journal {
        Err(OpenError::InUse { .. }) => {
            finding("journal", Grade::Good, "in use by a running service")
        }
        Err(error) => finding("journal", Grade::Bad, error.to_string()),
        Ok(opened) if opened.damages.is_empty() => finding(
            "journal",
            Grade::Good,
            format!(
                "{} records, {} of them wait for the worker",
                opened.records, opened.waiting
            ),
        ),
        Ok(opened) => {
            let bytes: u64 = opened.damages.iter().map(|damage| damage.bytes).sum();
            let told = format!(
                "{}: {bytes} bytes in {} places cannot be read; at the start the segments are copied to `corrupt` and the rest is used. Check the disk",
                folder.display(),
                opened.damages.len()
            );
            finding("journal", Grade::Bad, told)
        }
    }
}

fn clock_of(now: At, last: Option<At>) -> Finding {
    if now < PLAUSIBLE {
        return finding(
            "clock",
            Grade::Bad,
            format!(
                "shows {}; set it, calls are recorded by it",
                instant::text(now)
            ),
        );
    }
    match last {
        Some(last) if last > now + AHEAD_MAX => {
            let told = format!(
                "events were received at {} already, and it shows {}: it was set back; until it has caught up all events get that instant",
                instant::text(last),
                instant::text(now)
            );
            finding("clock", Grade::Bad, told)
        }
        _ => finding("clock", Grade::Good, instant::text(now)),
    }
}

async fn database(path: &Path) -> Vec<Finding> {
    if !path.exists() {
        return vec![finding(
            "database",
            Grade::Good,
            format!("{}: made at the first start", path.display()),
        )];
    }
    match see_database(path).await {
        Ok(findings) => findings,
        Err(LedgerError::Unavailable(error)) => {
            vec![finding(
                "database",
                Grade::Bad,
                format!(
                    "{}: {error}; check its disk and permissions, and who else has it open",
                    path.display()
                ),
            )]
        }
        Err(error) => vec![finding(
            "database",
            Grade::Bad,
            format!(
                "{}: {error}; put a backup in its place, or move it away and let the service begin anew",
                path.display()
            ),
        )],
    }
}

async fn see_database(path: &Path) -> Result<Vec<Finding>, LedgerError> {
    let ledger = SqliteLedger::open(path).await?;
    let trouble = if ledger.is_from_the_future().await? {
        Some("a newer version of this program has changed its tables; install that version, or put a backup in its place".to_owned())
    } else {
        ledger.trouble().await?
    };
    let pending = ledger
        .migrations()
        .await?
        .iter()
        .filter(|migration| !migration.applied)
        .count();
    ledger.close().await;
    let sound = match trouble {
        None => finding(
            "database",
            Grade::Good,
            format!("{}: sound", path.display()),
        ),
        Some(trouble) => finding(
            "database",
            Grade::Bad,
            format!("{}: {trouble}", path.display()),
        ),
    };
    let migrations = match pending {
        0 => finding("migrations", Grade::Good, "all applied"),
        pending => finding(
            "migrations",
            Grade::Note,
            format!(
                "{pending} pending; the next start applies them, `cordboard migrate` does it now"
            ),
        ),
    };
    Ok(vec![sound, migrations])
}

fn port(place: &'static str, address: SocketAddr, running: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => finding(place, Grade::Good, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && running => finding(
            place,
            Grade::Good,
            format!("{address} is in use, as by the running service"),
        ),
        Err(error) => finding(
            place,
            Grade::Bad,
            format!(
                "{address}: {error}; stop what listens there, or choose another address in `{place}.listen`"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_or_was_set_back_is_told() {
        let now = PLAUSIBLE + Span::seconds(1_000);
        assert_eq!(clock_of(now, None).grade, Grade::Good);
        assert_eq!(clock_of(now, Some(now)).grade, Grade::Good);
        assert_eq!(
            clock_of(now, Some(now + Span::seconds(3_600))).grade,
            Grade::Bad
        );
        assert_eq!(clock_of(At(0), None).grade, Grade::Bad);
    }
}
