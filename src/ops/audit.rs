//! Comparing stored records with those that the facts make. They differ only after a change of
//! policies, or of the database by hand.

use std::collections::BTreeMap;

use crate::config::{BadConfig, Settings};
use crate::domain::Timeline;
use crate::domain::fact::{EventId, Fact, Site};
use crate::domain::time::{At, Span};
use crate::port::ledger::{CallUpdate, HistoryLimit, Ledger, RecordAudit};
use crate::setup::SetupError;
use crate::wire::call_json;
use crate::wire::message::Message;
use crate::wire::policy_file::Policies;

pub(super) const DAY: Span = Span::seconds(86_400);

/// A call whose stored record differs from its facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub call_id: String,
    pub stored: Option<String>,
    pub rebuilt: Option<String>,
}

/// Chooses the calls to compare, and the policies.
#[derive(Clone, Default)]
pub struct Scope {
    /// Calls that began at or after it.
    pub since: Option<At>,
    /// Instead of the policies in the settings.
    pub policies: Option<Policies>,
}

impl Scope {
    pub(super) fn policies(&self, settings: &Settings) -> Result<Policies, BadConfig> {
        match &self.policies {
            Some(policies) => Ok(policies.clone()),
            None => settings.policies(),
        }
    }
}

/// A difference, and its correction.
pub(super) struct Deviation {
    pub difference: Difference,
    /// The right record; `None` when there should be none.
    pub right: Option<CallUpdate>,
    pub began: At,
}

/// Folds all facts of the chosen sites from scratch, and compares. Returns the differences of each
/// site.
pub(super) async fn audit<L: Ledger + RecordAudit>(
    ledger: &L,
    policies: &Policies,
    since: Option<At>,
    is_chosen: impl Fn(&Site) -> bool,
) -> Result<Vec<Vec<Deviation>>, SetupError> {
    let since = since
        .unwrap_or(At::START)
        .max(first_whole_day(ledger.facts_kept_since().await?));
    let mut audited = Vec::new();

    for (site, watermark) in ledger.sites().await? {
        if !is_chosen(&site) {
            continue;
        }
        let mut deviations = audit_site(ledger, policies, &site, watermark).await?;
        deviations.retain(|deviation| deviation.began >= since);
        audited.push(deviations);
    }

    Ok(audited)
}

/// If old facts were deleted, calls around the oldest fact may have lost some of theirs.
fn first_whole_day(facts_kept_since: At) -> At {
    if facts_kept_since == At::START {
        At::START
    } else {
        facts_kept_since + DAY
    }
}

async fn audit_site(
    ledger: &(impl Ledger + RecordAudit),
    policies: &Policies,
    site: &Site,
    watermark: At,
) -> Result<Vec<Deviation>, SetupError> {
    let messages = ledger
        .fact_messages(site, At::START, At::END, HistoryLimit::NONE)
        .await?
        .unwrap_or_default();
    let facts: Vec<Fact> = messages
        .iter()
        .filter_map(|message| Message::fact(message, policies))
        .collect();
    let received: BTreeMap<EventId, At> = facts.iter().map(|fact| (fact.id, fact.at)).collect();

    let mut rebuilt = fold(site, policies, facts, watermark);
    let mut deviations = Vec::new();
    for (call_id, stored) in ledger.stored_records(site).await? {
        let right = rebuilt.remove(&call_id);
        let is_right = right
            .as_ref()
            .is_some_and(|right| call_json::is_same(&stored, right.json()));
        if is_right {
            continue;
        }

        // A record that should not be there is as old as the fact that its id is from.
        let began = match &right {
            Some(right) => Some(right.record.started_at),
            None => EventId::parse(&call_id).and_then(|id| received.get(&id).copied()),
        };
        deviations.push(Deviation {
            difference: Difference {
                call_id,
                stored: Some(stored),
                rebuilt: right.as_ref().map(|right| right.json().to_owned()),
            },
            right,
            began: began.unwrap_or(At::START),
        });
    }
    deviations.extend(
        rebuilt
            .into_iter()
            .map(|(call_id, right)| missing(call_id, right)),
    );

    Ok(deviations)
}

/// The records that the facts make, by their ids.
fn fold(
    site: &Site,
    policies: &Policies,
    facts: Vec<Fact>,
    watermark: At,
) -> BTreeMap<String, CallUpdate> {
    let mut timeline = Timeline::new(site.clone(), policies.of(site).clone());
    let delta = timeline.apply(facts, watermark);

    CallUpdate::from_delta(delta.changed, delta.finished)
        .map(|update| (update.record.id.to_string(), update))
        .collect()
}

/// A call that is not stored.
fn missing(call_id: String, right: CallUpdate) -> Deviation {
    Deviation {
        difference: Difference {
            call_id,
            stored: None,
            rebuilt: Some(right.json().to_owned()),
        },
        began: right.record.started_at,
        right: Some(right),
    }
}
