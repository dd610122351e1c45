//! Are the stored records what the facts make of them? They always are; this is how anybody can see for themselves.

use std::collections::BTreeMap;

use super::{Failed, open_ledger};
use crate::config::Settings;
use crate::domain::Timeline;
use crate::domain::fact::{Fact, Site};
use crate::domain::time::At;
use crate::port::ledger::Ledger;
use crate::wire::call_json::CallJson;
use crate::wire::message::Message;
use crate::wire::policy_file::Policies;

/// A call that is stored otherwise than its facts say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub call_id: String,
    pub stored: Option<String>,
    pub rebuilt: Option<String>,
}

/// Folds all facts from scratch and compares the records with the stored ones.
///
/// # Errors
/// When the database cannot be read.
pub async fn differences(settings: &Settings) -> Result<Vec<Difference>, Failed> {
    let ledger = open_ledger(settings).await?;
    let policies = settings.policies()?;
    let (sites, watermark) = ledger.sites().await?;
    let mut differences = Vec::new();
    for site in &sites {
        differences.extend(of_site(&ledger, &policies, site, watermark).await?);
    }
    ledger.close().await;
    Ok(differences)
}

async fn of_site(ledger: &impl Ledger, policies: &Policies, site: &Site, watermark: At) -> Result<Vec<Difference>, Failed> {
    let messages = ledger.messages(site, At::START, At::END).await?;
    let fact = |message: &Vec<u8>| match Message::decode(message) {
        Ok(Message::Report(envelope)) => envelope.fact(|site| policies.of(site)).ok(),
        _ => None,
    };
    let facts: Vec<Fact> = messages.iter().filter_map(fact).collect();
    let folded = Timeline::new(site.clone(), policies.of(site).clone()).apply(facts, watermark);
    let mut rebuilt: BTreeMap<String, String> = BTreeMap::new();
    for record in folded.changed.iter().chain(&folded.finished) {
        rebuilt.insert(record.id.to_string(), serde_json::to_string(&CallJson::of(record)).unwrap_or_default());
    }
    let mut differences = Vec::new();
    for (call_id, stored) in ledger.records(site).await? {
        let expected = rebuilt.remove(&call_id);
        if expected.as_ref() != Some(&stored) {
            differences.push(Difference { call_id, stored: Some(stored), rebuilt: expected });
        }
    }
    differences.extend(rebuilt.into_iter().map(|(call_id, text)| Difference { call_id, stored: None, rebuilt: Some(text) }));
    Ok(differences)
}
