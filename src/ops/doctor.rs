//! `doctor`: checks everything that the service needs, changes nothing, and says what to do.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::{doctor_servers, doctor_service};
use crate::adapter::journal::{Journal, JournalScan, OpenError};
use crate::adapter::sqlite::SqliteLedger;
use crate::chain::Chain;
use crate::config::Settings;
use crate::domain::time::At;
use crate::port::clock::Clock;
use crate::port::ledger::LedgerError;
use crate::setup::{
    DatabaseAddress, database, earliest_now, is_clock_behind, is_in_memory, is_open_to_others,
    last_receipt,
};
use crate::wire::instant;

/// Checks everything in turn.
pub async fn examine(settings: &Settings, clock: &dyn Clock) -> Vec<Finding> {
    let folder = settings.data_dir.join("journal");
    let journal = Journal::inspect(&folder);
    let is_running = matches!(journal, Err(OpenError::InUse { .. }));
    let last_receipt = journal.as_ref().ok().and_then(last_receipt);

    let mut findings = vec![
        check_access(settings),
        check_data_folder(settings),
        check_journal(&folder, journal),
        check_clock(clock.now(), last_receipt),
    ];
    match database(settings) {
        Ok(DatabaseAddress::File(path)) => {
            findings.extend(check_database(&path, settings, clock.now()).await);
        }
        Ok(DatabaseAddress::Server(address)) => {
            let found = doctor_servers::check_database(&address, settings, clock.now());
            findings.extend(found.await);
        }
        Err(error) => findings.push(Finding::bad("database", error.to_string())),
    }
    findings.extend(doctor_servers::check_broker(settings).await);
    findings.extend(doctor_servers::check_live(settings).await);
    findings.extend(doctor_service::check_service(settings).await);

    let listeners = [
        ("ingress", settings.ingress.listen),
        ("gateway", settings.gateway.listen),
        ("operations", settings.operations.listen),
    ];
    findings.extend(listeners.map(|(name, address)| check_listener(name, address, is_running)));

    findings
}

fn check_access(settings: &Settings) -> Finding {
    match settings.ingress.access() {
        Ok(access) if access.keys.is_empty() && access.networks.is_empty() => Finding::note(
            "access",
            "every sender that reaches the ingress is accepted; before phones of other machines \
             report, set `ingress.keys` or `ingress.networks`",
        ),
        Ok(access) => Finding::good(
            "access",
            format!(
                "{} keys, {} networks",
                access.keys.len(),
                access.networks.len()
            ),
        ),
        Err(error) => Finding::bad("access", error.to_string()),
    }
}

/// Whether files can be created in the data folder, and whether there is space for them.
fn check_data_folder(settings: &Settings) -> Finding {
    let folder = &settings.data_dir;
    let free_bytes = match writable_bytes(folder) {
        Ok(free_bytes) => free_bytes,
        Err(text) => return Finding::bad("data", text),
    };
    let text = format!("{}: {} MiB free", folder.display(), free_bytes >> 20);

    if is_open_to_others(folder) {
        return Finding::note(
            "data",
            format!(
                "{}: every user of this machine can read it; `chmod o-rwx` it",
                folder.display()
            ),
        );
    }
    if is_in_memory(folder) {
        return Finding::note(
            "data",
            format!(
                "{}: a file system in memory, whose events are lost when the machine stops; set \
                 `data_dir` to a folder on a disk",
                folder.display()
            ),
        );
    }
    if free_bytes < settings.journal.segment_bytes {
        return Finding::bad(
            "data",
            format!(
                "{text}, a segment of the journal needs {}; free some, or lower \
                 `journal.segment_bytes`",
                settings.journal.segment_bytes >> 20
            ),
        );
    }
    if free_bytes < settings.journal.total_bytes_max {
        return Finding::note(
            "data",
            format!("{text}: the disk is full before `journal.total_bytes_max` is reached"),
        );
    }

    Finding::good("data", text)
}

/// Free bytes on the disk of a folder, which may not exist yet.
fn writable_bytes(folder: &Path) -> Result<u64, String> {
    let Some(existing) = nearest_existing(folder) else {
        return Err(format!(
            "{}: neither it nor a folder above it exists; set `data_dir`",
            folder.display()
        ));
    };

    tempfile::Builder::new()
        .prefix(".cordboard-doctor")
        .tempfile_in(&existing)
        .map_err(|error| {
            format!(
                "{}: no file can be created there ({error}); let the service's user own it",
                existing.display()
            )
        })?;
    let disk = rustix::fs::statvfs(&existing)
        .map_err(|error| format!("{}: {error}", existing.display()))?;

    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn nearest_existing(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    let existing = absolute.ancestors().find(|above| above.is_dir())?;

    Some(existing.to_owned())
}

fn check_journal(folder: &Path, journal: Result<JournalScan, OpenError>) -> Finding {
    let opened = match journal {
        Ok(opened) => opened,
        Err(OpenError::InUse { .. }) => {
            return Finding::good("journal", "in use by a running service");
        }
        Err(error) => return Finding::bad("journal", error.to_string()),
    };

    if opened.damages.is_empty() {
        let text = format!(
            "{} records, {} of them wait for the worker",
            opened.records, opened.unreleased
        );
        return Finding::good("journal", text);
    }
    let bytes: u64 = opened.damages.iter().map(|damage| damage.bytes).sum();
    Finding::bad(
        "journal",
        format!(
            "{}: {bytes} bytes in {} places cannot be read; at the start the segments are copied \
             to `corrupt` and the rest is used. Check the disk",
            folder.display(),
            opened.damages.len()
        ),
    )
}

fn check_clock(now: At, last_receipt: Option<At>) -> Finding {
    let now_text = instant::text(now);
    if now < earliest_now() {
        return Finding::bad(
            "clock",
            format!(
                "shows {now_text}, before this program was built; set it, calls are recorded by it"
            ),
        );
    }

    match last_receipt {
        Some(last) if is_clock_behind(last, now) => Finding::bad(
            "clock",
            format!(
                "events were received at {} already, and it shows {now_text}: it was set back; \
                 until it has caught up all events get that instant",
                instant::text(last)
            ),
        ),
        _ => Finding::good("clock", now_text),
    }
}

async fn check_database(path: &Path, settings: &Settings, now: At) -> Vec<Finding> {
    let subject = "database";
    let name = path.display();
    if !path.exists() {
        return vec![Finding::good(
            subject,
            format!("{name}: created at the first start"),
        )];
    }

    match examine_database(path, settings, now).await {
        Ok(findings) => findings,
        Err(error @ LedgerError::Unavailable(_)) => vec![Finding::bad(
            subject,
            format!(
                "{name}: {}; check its disk and permissions, and which other process has it \
                 open",
                Chain(&error)
            ),
        )],
        Err(error) => vec![Finding::bad(
            subject,
            format!(
                "{name}: {}; put a backup in its place, or move it away and let the service \
                 create a new one",
                Chain(&error)
            ),
        )],
    }
}

async fn examine_database(
    path: &Path,
    settings: &Settings,
    now: At,
) -> Result<Vec<Finding>, LedgerError> {
    let ledger = SqliteLedger::open(path).await?;
    let is_newer = ledger.has_newer_schema().await?;
    let damage = if is_newer {
        None
    } else {
        ledger.find_damage().await?
    };
    let migrations = ledger.migrations().await?;
    let time = doctor_service::check_time(&ledger, settings, now).await;
    ledger.close().await;

    let name = path.display();
    let soundness = match damage {
        _ if is_newer => Finding::bad(
            "database",
            format!(
                "{name}: a newer version of this program has changed its tables; install that \
                 version, or put a backup in its place"
            ),
        ),
        Some(damage) => Finding::bad("database", format!("{name}: {damage}")),
        None => Finding::good("database", format!("{name}: sound")),
    };
    let pending = migrations.iter().filter(|one| !one.applied).count();
    let migrations = match pending {
        0 => Finding::good("migrations", "all applied"),
        pending => Finding::note(
            "migrations",
            format!(
                "{pending} pending; the next start applies them, `cordboard migrate` does it now"
            ),
        ),
    };

    Ok([soundness, migrations].into_iter().chain(time).collect())
}

fn check_listener(name: &'static str, address: SocketAddr, is_running: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::good(name, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_running => Finding::good(
            name,
            format!("{address} is in use, as by the running service"),
        ),
        Err(error) => Finding::bad(
            name,
            format!(
                "{address}: {error}; stop what listens there, or choose another address in \
                 `{name}.listen`"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Span;
    use crate::ops::finding::Grade;

    #[test]
    fn a_clock_that_was_never_set_or_was_set_back_is_reported() {
        let now = earliest_now() + Span::seconds(1_000);
        let in_an_hour = now + Span::seconds(3_600);

        assert_eq!(check_clock(now, None).grade, Grade::Good);
        assert_eq!(check_clock(now, Some(now)).grade, Grade::Good);
        assert_eq!(check_clock(now, Some(in_an_hour)).grade, Grade::Bad);
        assert_eq!(check_clock(At(0), None).grade, Grade::Bad);
    }
}
