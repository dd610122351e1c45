//! The callers of missed calls, and the first answered call with each of them afterwards.

use std::collections::HashMap;

use serde::Serialize;

use crate::domain::number::Number;
use crate::port::desk::{DeskEntry, LaterCall};

/// Callers of whom it is not known whether they were reached.
pub(in crate::adapter) struct Callers(Vec<Caller>);

#[derive(Serialize)]
struct Caller {
    place: usize,
    site: String,
    number: Option<String>,
    e164: Option<String>,
    /// The start of the first missed call.
    since: i64,
    /// The places of the missed calls among the entries.
    #[serde(skip)]
    entries: Vec<usize>,
}

/// An answered call with the number of a caller.
pub(in crate::adapter) struct AnsweredCall {
    /// The place of the caller.
    pub caller: i64,
    pub call: LaterCall,
}

/// The call in which the caller of a missed call was reached.
#[derive(Serialize)]
struct Reached<'e> {
    call_id: &'e str,
    reached_by: &'e str,
}

impl Callers {
    /// A caller without a number, or who hides it, cannot be recognised.
    pub(in crate::adapter) fn of(entries: &[DeskEntry]) -> Callers {
        let mut places = HashMap::new();
        let mut callers: Vec<Caller> = Vec::new();

        for (index, entry) in entries.iter().enumerate() {
            let (number, e164) = (entry.number.as_deref(), entry.e164.as_deref());
            let is_known =
                (number.is_some() || e164.is_some()) && !number.is_some_and(Number::shows_none);
            if entry.reached.is_some() || !is_known {
                continue;
            }
            let key = (entry.site.as_str(), number, e164);
            let place = *places.entry(key).or_insert(callers.len());
            if place == callers.len() {
                callers.push(Caller {
                    place,
                    site: entry.site.clone(),
                    number: number.map(ToOwned::to_owned),
                    e164: e164.map(ToOwned::to_owned),
                    since: entry.started_at.0,
                    entries: Vec::new(),
                });
            }
            let caller = &mut callers[place];
            caller.since = caller.since.min(entry.started_at.0);
            caller.entries.push(index);
        }

        Callers(callers)
    }

    /// The callers for a statement; `None` where there are none.
    pub(in crate::adapter) fn document(&self) -> Option<String> {
        let Callers(callers) = self;

        (!callers.is_empty()).then(|| serde_json::to_string(callers).unwrap_or_default())
    }

    /// Sets the first answered call after each entry; `answered` are in the order of their callers and
    /// instants. Returns what was found, for a statement; `None` where that is nothing.
    pub(in crate::adapter) fn set_reached(
        &self,
        entries: &mut [DeskEntry],
        answered: &[AnsweredCall],
    ) -> Option<String> {
        let Callers(callers) = self;
        let mut found = Vec::new();

        for of_caller in answered.chunk_by(|one, next| one.caller == next.caller) {
            let place = of_caller
                .first()
                .and_then(|one| usize::try_from(one.caller).ok());
            let Some(caller) = place.and_then(|place| callers.get(place)) else {
                continue;
            };
            for index in &caller.entries {
                let entry = &mut entries[*index];
                let first =
                    of_caller.partition_point(|one| one.call.started_at <= entry.started_at);
                if let Some(first) = of_caller.get(first) {
                    entry.reached = Some(first.call.clone());
                    found.push(*index);
                }
            }
        }

        let reached: Vec<Reached<'_>> = found
            .iter()
            .filter_map(|index| {
                let entry = &entries[*index];
                Some(Reached {
                    call_id: &entry.call_id,
                    reached_by: &entry.reached.as_ref()?.call_id,
                })
            })
            .collect();
        (!reached.is_empty()).then(|| serde_json::to_string(&reached).unwrap_or_default())
    }
}
