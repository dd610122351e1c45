//! The callers of missed calls, read from the database until there are enough of them.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::reading::MissedCalls;
use crate::chain::Chain;
use crate::domain::number::Number;
use crate::domain::time::{At, Span};
use crate::gateway::Gateway;
use crate::port::desk::{Desk, DeskEntry, DeskStage, DeskStatus};
use crate::port::error::LedgerError;

/// Without an instant the desk shows missed calls of two weeks.
pub(super) const SHOWN: Span = Span::seconds(14 * 86_400);
/// Callers who were reached are verified so often, over this time: a day more than is shown.
const VERIFY_EVERY: Duration = Duration::from_mins(5);
const VERIFIED: Span = Span(SHOWN.0 + 86_400_000_000);

/// The missed calls of one caller.
pub(super) struct Caller {
    pub latest: DeskEntry,
    /// The latest of his calls that a person has taken, if the caller waits and that is another one.
    taken: Option<Box<DeskEntry>>,
    /// All of them, the latest first.
    pub call_ids: Vec<String>,
    pub first_missed_at: At,
    /// One of them waits for a call back.
    waits: bool,
}

impl Caller {
    fn of(entry: DeskEntry) -> Caller {
        Caller {
            taken: None,
            call_ids: vec![entry.call_id.clone()],
            first_missed_at: entry.missed_at,
            waits: status_of(&entry) != DeskStatus::Done,
            latest: entry,
        }
    }

    /// Adds an earlier call. A person who has taken one has taken the caller.
    fn add(&mut self, entry: DeskEntry) {
        let status = status_of(&entry);

        self.call_ids.push(entry.call_id.clone());
        self.first_missed_at = entry.missed_at;
        self.waits |= status != DeskStatus::Done;
        if status == DeskStatus::Assigned && self.status() != DeskStatus::Assigned {
            self.taken = Some(Box::new(entry));
        }
    }

    /// The call that shows the work on the caller.
    pub(super) fn work(&self) -> &DeskEntry {
        self.taken.as_deref().unwrap_or(&self.latest)
    }

    pub(super) fn status(&self) -> DeskStatus {
        match status_of(self.work()) {
            DeskStatus::Done if self.waits => DeskStatus::Open,
            status => status,
        }
    }
}

/// The status of a call, with what later calls say.
pub(super) fn status_of(entry: &DeskEntry) -> DeskStatus {
    if entry.reached.is_some() {
        DeskStatus::Done
    } else {
        entry.status
    }
}

/// The number by which a caller is recognised. One who hides it is not.
pub(super) fn number_of(entry: &DeskEntry) -> Option<&str> {
    let number = entry.e164.as_deref().or(entry.number.as_deref());

    number.filter(|number| !Number::shows_none(number))
}

/// Callers whose missed calls have a status, at most `limit`, the latest first. Without a status they
/// are those who wait.
pub(super) async fn callers(
    desk: &dyn Desk,
    site: Option<String>,
    since: At,
    status: Option<&str>,
    limit: usize,
) -> Result<Vec<Caller>, LedgerError> {
    let stage = match status {
        Some("all" | "done") => DeskStage::All,
        Some("assigned") => DeskStage::Assigned,
        _ => DeskStage::Waiting,
    };
    let mut calls = MissedCalls::since(desk, site, since, stage);
    let mut callers = Callers::default();

    while callers.count(status) < limit
        && let Some(entries) = calls.next().await?
    {
        let meant = entries.into_iter().filter(|entry| match status {
            Some("all") => true,
            Some("done") => status_of(entry) == DeskStatus::Done,
            _ => status_of(entry) != DeskStatus::Done,
        });
        meant.for_each(|entry| callers.add(entry));
    }

    let meant = callers.list.into_iter();
    Ok(meant
        .filter(|caller| is_wanted(status, caller))
        .take(limit)
        .collect())
}

fn is_wanted(status: Option<&str>, caller: &Caller) -> bool {
    status != Some("open") || caller.status() == DeskStatus::Open
}

/// The callers of missed calls, in the order of their latest call.
#[derive(Default)]
struct Callers {
    list: Vec<Caller>,
    known: HashMap<(String, String), usize>,
}

impl Callers {
    fn count(&self, status: Option<&str>) -> usize {
        let wanted = self.list.iter().filter(|caller| is_wanted(status, caller));

        wanted.count()
    }

    /// Adds a missed call, which is earlier than those before it, to those of its number. Two callers
    /// who hide theirs are not one.
    fn add(&mut self, entry: DeskEntry) {
        let key = number_of(&entry).map(|number| (entry.site.clone(), number.to_owned()));
        let known = key.as_ref().and_then(|key| self.known.get(key).copied());
        if let Some(caller) = known.map(|index| &mut self.list[index]) {
            caller.add(entry);
            return;
        }

        if let Some(key) = key {
            self.known.insert(key, self.list.len());
        }
        self.list.push(Caller::of(entry));
    }
}

impl Gateway {
    /// Looks again and again whether callers who were reached still are, until the stop: the record of
    /// the call may have been corrected.
    pub async fn keep_desk(self, stop: CancellationToken) {
        let mut rounds = interval(VERIFY_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);

        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                () = stop.cancelled() => return,
            }
            match self.desk.verify_reached(self.clock.now() - VERIFIED).await {
                Ok(0) => {}
                Ok(calls) => tracing::info!(calls, "missed calls are to be called back after all"),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "missed calls wait for the database");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::port::desk::{DeskChange, DeskPage, DeskState, SiteChange};

    /// Missed calls of a number each, the last one first; a few numbers call again and again.
    struct EverySecond(u32);

    #[async_trait]
    impl Desk for EverySecond {
        async fn entries(&self, page: &DeskPage) -> Result<Vec<DeskEntry>, LedgerError> {
            let last = page
                .before
                .as_ref()
                .map_or(i64::from(self.0), |(at, _)| at.0);
            let first = last - i64::from(page.limit);

            Ok((first.max(0)..last).rev().map(entry).collect())
        }

        async fn verify_reached(&self, _: At) -> Result<u64, LedgerError> {
            Ok(0)
        }

        async fn states(&self, _: &[String]) -> Result<Vec<DeskState>, LedgerError> {
            Ok(Vec::new())
        }

        async fn changes(&self, _: At, _: u32) -> Result<Vec<SiteChange>, LedgerError> {
            Ok(Vec::new())
        }

        async fn change(&self, _: &DeskChange) -> Result<bool, LedgerError> {
            Ok(false)
        }
    }

    /// The calls of ten seconds have the same number, but for the first one.
    fn entry(second: i64) -> DeskEntry {
        let number = if second % 10 == 0 { second } else { -1 };

        DeskEntry {
            call_id: second.to_string(),
            site: "default".to_owned(),
            number: Some(number.to_string().as_str().into()),
            e164: None,
            name: None,
            cause: "missed".to_owned(),
            extensions: "[]".to_owned(),
            started_at: At(second),
            missed_at: At(second),
            waited_us: None,
            status: DeskStatus::Open,
            assigned_to: None,
            note: None,
            disposition: None,
            changed_at: None,
            changed_by: None,
            reached: None,
            calling: None,
        }
    }

    async fn read(calls: u32, limit: usize) -> Vec<Caller> {
        let desk = EverySecond(calls);
        let found = callers(&desk, None, At(0), None, limit).await;

        found.unwrap_or_default()
    }

    #[tokio::test]
    async fn callers_are_found_behind_one_who_calls_again_and_again() {
        let found = read(2_400, 200).await;
        assert_eq!(found.len(), 200);
        assert_eq!(found[0].call_ids.len(), 1_800, "2,000 calls were read");
        assert_eq!(found[1].latest.call_id, "2390");

        let all = read(2_400, 1_000).await;
        assert_eq!(all.len(), 241);
        assert_eq!(all[0].first_missed_at, At(1));
        assert!(read(0, 200).await.is_empty());
    }

    #[test]
    fn a_person_who_has_taken_a_call_has_the_caller_who_calls_again() {
        let taken = DeskEntry {
            status: DeskStatus::Assigned,
            assigned_to: Some("eve".to_owned()),
            ..entry(1)
        };
        let mut callers = Callers::default();
        for call in [entry(2), taken, entry(0)] {
            callers.add(call);
        }

        let [again, other] = &callers.list[..] else {
            panic!("two callers");
        };
        assert_eq!(again.status(), DeskStatus::Assigned);
        assert_eq!(again.work().assigned_to.as_deref(), Some("eve"));
        assert_eq!(again.latest.call_id, "2");
        assert_eq!(other.status(), DeskStatus::Open);
        assert_eq!(callers.count(Some("open")), 1);
    }

    #[test]
    fn callers_who_hide_their_numbers_stay_apart() {
        let hidden = |second| DeskEntry {
            number: Some("anonymous".into()),
            ..entry(second)
        };
        let mut callers = Callers::default();
        callers.add(hidden(2));
        callers.add(hidden(1));

        assert_eq!(callers.list.len(), 2);
    }

    #[tokio::test]
    async fn a_list_ends_after_very_many_calls() {
        let found = read(1_000_000, usize::MAX).await;

        assert_eq!(found.len(), 20_000 / 10 + 1);
    }
}
