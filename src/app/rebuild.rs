//! Are the stored records what the facts make of them? They always are, unless rules were changed
//! or somebody wrote into the database; this is how anybody can see for themselves, and mend it.

use std::collections::BTreeMap;

use super::open::open_ledger;
use super::place::Database;
use super::{ServiceError, place};
use crate::adapter::journal::{Journal, OpenError};
use crate::adapter::postgres::{Partition, PostgresLedger, readers};
use crate::adapter::rabbit::Layout;
use crate::adapter::sqlite::SqliteLedger;
use crate::config::Settings;
use crate::domain::Timeline;
use crate::domain::fact::{EventId, Fact, Site};
use crate::domain::time::{At, Span};
use crate::port::ledger::{CallUpdate, Changes, Ledger, LedgerError, RecordAudit};
use crate::wire::message::Message;
use crate::wire::policy_file::Policies;
use crate::worker::lookback;

const DAY_US: i64 = 86_400_000_000;

/// A call that is stored otherwise than its facts say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub call_id: String,
    pub stored: Option<String>,
    pub rebuilt: Option<String>,
}

/// Which calls are rebuilt, and by which rules.
#[derive(Clone, Default)]
pub struct Scope {
    /// Calls that began at or after it.
    pub since: Option<At>,
    /// Instead of those in the settings.
    pub policies: Option<Policies>,
}

/// A call that is stored otherwise, with what makes it right.
struct Wrong {
    difference: Difference,
    /// The record as it should be, and whether it is final; none if there should be none.
    right: Option<CallUpdate>,
    began: At,
}

/// Folds all facts from scratch and compares the records with the stored ones.
///
/// # Errors
/// When the database cannot be read.
pub async fn differences(
    settings: &Settings,
    scope: &Scope,
) -> Result<Vec<Difference>, ServiceError> {
    // The service may be writing: everything is read as it stands at one moment.
    let wrong = match place::database(settings)? {
        Database::File(path) if !path.exists() => return Err(ServiceError::NoDatabase { path }),
        Database::File(path) => {
            let ledger = SqliteLedger::open_snapshot(&path).await?;
            let wrong = all_wrong(&ledger, settings, scope, |_| true).await?;
            ledger.close().await;
            wrong
        }
        Database::Server(address) => {
            let ledger =
                PostgresLedger::open_snapshot(&address, part(place::layout(settings), 0)).await?;
            let wrong = all_wrong(&ledger, settings, scope, |_| true).await?;
            ledger.close().await;
            wrong
        }
    };
    Ok(wrong
        .into_iter()
        .flat_map(|(_, wrong)| wrong)
        .map(|wrong| wrong.difference)
        .collect())
}

fn part(layout: Layout, number: u32) -> Partition {
    Partition {
        generation: layout.generation,
        number,
        count: layout.partitions,
    }
}

/// Stores what the facts say, a day of a site in one transaction. `progress` hears how many calls
/// of how many are done. Returns how many were stored otherwise.
///
/// # Errors
/// When the service is running, or the database cannot be read or written.
pub async fn rebuild(
    settings: &Settings,
    scope: &Scope,
    progress: impl Fn(u64, u64),
) -> Result<u64, ServiceError> {
    match place::database(settings)? {
        Database::File(_) => {
            if let Err(error @ OpenError::InUse { .. }) =
                Journal::inspect(&settings.data_dir.join("journal"))
            {
                return Err(ServiceError::Running(error));
            }
            let ledger = open_ledger(settings).await?;
            ledger.migrate().await?;
            let corrected = correct(&ledger, settings, scope, |_| true, 0, &progress).await?;
            ledger.close().await;
            Ok(corrected)
        }
        Database::Server(address) => {
            let layout = place::layout(settings);
            refuse_beside_workers(settings).await?;
            let (pool, mut corrected) = (readers(&address), 0);
            for number in 0..layout.partitions {
                let ledger = PostgresLedger::new(&address, pool.clone(), part(layout, number));
                let mine = |site: &Site| layout.partition_of(site) == number;
                corrected += match correct(&ledger, settings, scope, mine, corrected, &progress)
                    .await
                {
                    Err(ServiceError::Ledger(LedgerError::Fenced)) => {
                        return Err(ServiceError::IncompleteServerSettings(
                            "a worker took a partition back: stop all workers first, they hold calls in memory. Ingresses may go on",
                        ));
                    }
                    corrected => corrected?,
                };
                ledger.release().await;
            }
            Ok(corrected)
        }
    }
}

/// Workers hold calls in memory, and would write over what is corrected.
async fn refuse_beside_workers(settings: &Settings) -> Result<(), ServiceError> {
    match super::broker::broker_status(settings).await {
        // Without a broker no worker works.
        Ok((_, 0)) | Err(ServiceError::Broker(_)) => Ok(()),
        Ok(_) => Err(ServiceError::IncompleteServerSettings(
            "workers are running: stop all of them first, they hold calls in memory. Ingresses may go on",
        )),
        Err(error) => Err(error),
    }
}

/// Corrects what a ledger that is ours holds of some sites.
async fn correct<L: Ledger + RecordAudit>(
    ledger: &L,
    settings: &Settings,
    scope: &Scope,
    mine: impl Fn(&Site) -> bool,
    before: u64,
    progress: &impl Fn(u64, u64),
) -> Result<u64, ServiceError> {
    let _standing = ledger.take_over(lookback(&settings.policies()?)).await?;
    let wrong = all_wrong(ledger, settings, scope, mine).await?;
    let all: u64 = wrong.iter().map(|(_, wrong)| wrong.len() as u64).sum();
    let mut done = 0;
    for (_, of_site) in wrong {
        let mut days: BTreeMap<i64, Vec<Wrong>> = BTreeMap::new();
        for one in of_site {
            days.entry(one.began.0.div_euclid(DAY_US))
                .or_default()
                .push(one);
        }
        for day in days.into_values() {
            done += day.len() as u64;
            ledger.commit(&corrections(day)).await?;
            progress(before + done, before + all);
        }
    }
    Ok(all)
}

fn corrections(day: Vec<Wrong>) -> Changes {
    let mut changes = Changes::default();
    for wrong in day {
        match wrong.right {
            Some(right) => changes.calls.push(right),
            None => changes
                .withdrawn_calls
                .extend(EventId::parse(&wrong.difference.call_id)),
        }
    }
    changes
}

async fn all_wrong<L: Ledger + RecordAudit>(
    ledger: &L,
    settings: &Settings,
    scope: &Scope,
    mine: impl Fn(&Site) -> bool,
) -> Result<Vec<(Site, Vec<Wrong>)>, ServiceError> {
    let policies = match &scope.policies {
        Some(policies) => policies.clone(),
        None => settings.policies()?,
    };
    let kept_since = ledger.facts_kept_since().await?;
    // Calls from before have lost some of their facts, and those around it perhaps some of theirs.
    let since = scope
        .since
        .unwrap_or(At::START)
        .max(if kept_since == At::START {
            kept_since
        } else {
            kept_since + Span(DAY_US)
        });
    let mut all = Vec::new();
    for (site, watermark) in ledger
        .sites()
        .await?
        .into_iter()
        .filter(|(site, _)| mine(site))
    {
        let mut wrong = wrong_of(ledger, &policies, &site, watermark).await?;
        wrong.retain(|wrong| wrong.began >= since);
        all.push((site, wrong));
    }
    Ok(all)
}

async fn wrong_of(
    ledger: &(impl Ledger + RecordAudit),
    policies: &Policies,
    site: &Site,
    watermark: At,
) -> Result<Vec<Wrong>, ServiceError> {
    let messages = ledger.fact_messages(site, At::START, At::END).await?;
    let facts: Vec<Fact> = messages
        .iter()
        .filter_map(|message| Message::fact(message, policies))
        .collect();
    let began: BTreeMap<EventId, At> = facts.iter().map(|fact| (fact.id, fact.at)).collect();
    let folded = Timeline::new(site.clone(), policies.of(site).clone()).apply(facts, watermark);
    let calls = CallUpdate::from_delta(folded.changed, folded.finished);
    let mut rebuilt: BTreeMap<String, CallUpdate> = calls
        .map(|right| (right.record.id.to_string(), right))
        .collect();
    let mut all = Vec::new();
    for (call_id, stored) in ledger.stored_records(site).await? {
        let right = rebuilt.remove(&call_id);
        let text = right.as_ref().map(CallUpdate::json);
        if text != Some(&*stored) {
            let began = right
                .as_ref()
                .map(|right| right.record.started_at)
                .or_else(|| began.get(&EventId::parse(&call_id)?).copied());
            let difference = Difference {
                call_id,
                stored: Some(stored),
                rebuilt: text.map(str::to_owned),
            };
            all.push(Wrong {
                difference,
                right,
                began: began.unwrap_or(At::START),
            });
        }
    }
    all.extend(rebuilt.into_iter().map(|(call_id, right)| {
        let difference = Difference {
            call_id,
            stored: None,
            rebuilt: Some(right.json().to_owned()),
        };
        Wrong {
            difference,
            began: right.record.started_at,
            right: Some(right),
        }
    }));
    Ok(all)
}
