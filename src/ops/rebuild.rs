//! Correcting stored records by the facts.

use std::collections::BTreeMap;

use super::audit::{DAY, Deviation, Difference, Scope, audit};
use super::broker::broker_status;
use crate::adapter::journal::{Journal, OpenError};
use crate::adapter::postgres::{PartitionAddress, PostgresAddress, PostgresLedger, readers};
use crate::adapter::sqlite::SqliteLedger;
use crate::config::Settings;
use crate::domain::fact::{EventId, Site};
use crate::port::ledger::{BelievedInstants, Changes, Ledger, LedgerError, RecordAudit};
use crate::setup::{DatabaseAddress, Roles, SetupError, database, layout, open_ledger_of, servers};
use crate::worker::lookback;

/// Compares stored records with the facts. The service may run meanwhile: everything is read as of
/// one moment.
///
/// # Errors
/// When the database cannot be read.
pub async fn differences(
    settings: &Settings,
    scope: &Scope,
) -> Result<Vec<Difference>, SetupError> {
    let policies = scope.policies(settings)?;
    let all_sites = |_: &Site| true;

    let deviations = match database(settings)? {
        DatabaseAddress::File(path) if !path.exists() => {
            return Err(SetupError::NoDatabase { path });
        }
        DatabaseAddress::File(path) => {
            let ledger = SqliteLedger::open_snapshot(&path).await?;
            let deviations = audit(&ledger, &policies, scope.since, all_sites).await?;
            ledger.close().await;
            deviations
        }
        DatabaseAddress::Server(address) => {
            let partition = PartitionAddress::of(layout(settings), 0);
            let ledger = PostgresLedger::open_snapshot(&address, partition).await?;
            let deviations = audit(&ledger, &policies, scope.since, all_sites).await?;
            ledger.close().await;
            deviations
        }
    };

    let deviations = deviations.into_iter().flatten();
    Ok(deviations.map(|deviation| deviation.difference).collect())
}

/// Corrects stored records, a day of a site in one transaction. Passes the numbers of corrected
/// and of all deviating calls to `progress`. Returns the number of corrected calls.
///
/// # Errors
/// While the service runs, and when the database cannot be read or written.
pub async fn rebuild(
    settings: &Settings,
    scope: &Scope,
    progress: impl Fn(u64, u64),
) -> Result<u64, SetupError> {
    match database(settings)? {
        DatabaseAddress::File(path) => {
            refuse_beside_service(settings)?;
            let ledger = open_ledger_of(settings, &path).await?;
            ledger.migrate().await?;
            let corrected = correct(&ledger, settings, scope, |_| true, &progress).await?;
            ledger.close().await;
            Ok(corrected)
        }
        DatabaseAddress::Server(address) => {
            if servers(settings, Roles::ALL)?.is_some() {
                refuse_beside_workers(settings).await?;
            } else {
                refuse_beside_service(settings)?;
            }
            rebuild_partitions(settings, &address, scope, progress).await
        }
    }
}

async fn rebuild_partitions(
    settings: &Settings,
    address: &PostgresAddress,
    scope: &Scope,
    progress: impl Fn(u64, u64),
) -> Result<u64, SetupError> {
    let layout = layout(settings);
    let pool = readers(address);
    let mut corrected = 0;

    for number in 0..layout.partitions {
        let partition = PartitionAddress::of(layout, number);
        let ledger = PostgresLedger::new(address, pool.clone(), partition);
        let is_ours = |site: &Site| layout.partition_of(site) == number;
        let before = corrected;
        let progress = |done, of| progress(before + done, before + of);

        corrected += match correct(&ledger, settings, scope, is_ours, &progress).await {
            Err(SetupError::Ledger(LedgerError::Fenced)) => {
                return Err(SetupError::IncompleteServerSettings(
                    "a worker took a partition back: stop all workers first, they hold calls in \
                     memory. Ingresses may go on",
                ));
            }
            corrected => corrected?,
        };
        ledger.close().await;
    }

    Ok(corrected)
}

/// The service holds calls in memory, and would overwrite corrections.
fn refuse_beside_service(settings: &Settings) -> Result<(), SetupError> {
    match Journal::inspect(&settings.data_dir.join("journal")) {
        Err(error @ OpenError::InUse { .. }) => Err(SetupError::Running(error)),
        _ => Ok(()),
    }
}

/// Workers hold calls in memory, and would overwrite corrections.
async fn refuse_beside_workers(settings: &Settings) -> Result<(), SetupError> {
    match broker_status(settings).await {
        Ok(status) if status.workers > 0 => Err(SetupError::IncompleteServerSettings(
            "workers are running: stop all of them first, they hold calls in memory. Ingresses may \
             go on",
        )),
        // Without a broker no worker works.
        Ok(_) | Err(SetupError::Broker(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Corrects the chosen sites of a ledger.
async fn correct<L: Ledger + RecordAudit>(
    ledger: &L,
    settings: &Settings,
    scope: &Scope,
    is_chosen: impl Fn(&Site) -> bool,
    progress: &impl Fn(u64, u64),
) -> Result<u64, SetupError> {
    // The recovered calls are not needed: all facts are folded from scratch.
    let lookback = lookback(&settings.policies()?, BelievedInstants::ALL);
    let _ = ledger.take_over(lookback).await?;
    let audited = audit(ledger, &scope.policies(settings)?, scope.since, is_chosen).await?;
    let all: u64 = audited.iter().map(|site| site.len() as u64).sum();
    let mut corrected = 0;

    for deviations in audited {
        for day in by_day(deviations).into_values() {
            corrected += day.len() as u64;
            ledger.commit(&corrections(day)).await?;
            progress(corrected, all);
        }
    }

    Ok(all)
}

fn by_day(deviations: Vec<Deviation>) -> BTreeMap<i64, Vec<Deviation>> {
    let mut days: BTreeMap<i64, Vec<Deviation>> = BTreeMap::new();

    for deviation in deviations {
        let day = deviation.began.0.div_euclid(DAY.0);
        days.entry(day).or_default().push(deviation);
    }

    days
}

fn corrections(deviations: Vec<Deviation>) -> Changes {
    let mut changes = Changes::default();

    for deviation in deviations {
        match deviation.right {
            Some(right) => changes.calls.push(right),
            None => changes
                .withdrawn_calls
                .extend(EventId::parse(&deviation.difference.call_id)),
        }
    }

    changes
}
