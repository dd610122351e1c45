//! Sources about callers: the database, and another program.

use std::sync::Arc;

use serde_json::Value;

use super::address::AddressTemplate;
use super::caller::{
    Caller, CallerJson, ContactJson, EarlierCall, NoteJson, earlier_call, note_json,
};
use super::look_up::LookUp;
use crate::access::Principal;
use crate::domain::fact::Site;
use crate::domain::number::Number;
use crate::gateway::Gateway;
use crate::gateway::visible::sees_site;
use crate::port::contacts::{Contacts, number_key};
use crate::port::error::LedgerError;
use crate::port::query::CallFilter;

const EARLIER_CALLS: u32 = 4;

/// The sources about callers.
#[derive(Clone)]
pub struct CallerBook {
    pub contacts: Arc<dyn Contacts>,
    /// The page of a caller without an own address among the contacts.
    pub page: Option<AddressTemplate>,
    pub page_opens: PageOpens,
    pub look_up: Option<LookUp>,
}

/// When the window of an agent opens the page of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOpens {
    /// With a click only.
    OnClick,
    OnAnswer,
    OnRing,
}

impl PageOpens {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PageOpens::OnClick => "click",
            PageOpens::OnAnswer => "answer",
            PageOpens::OnRing => "ring",
        }
    }
}

impl Gateway {
    /// A number of a site in the form in which contacts are stored; `None` when it is withheld.
    pub(super) fn number_of(&self, site: &str, text: &str) -> Option<String> {
        let region = self.policies.of(&Site::parse(site)?).region;
        let number = Number::parse(text, region);

        number_key(&number).map(ToOwned::to_owned)
    }

    /// The caller of a call, as far as the database knows him. Each part that the database does not
    /// answer is left out: a popup without it is better than none.
    pub(in crate::gateway) async fn caller(&self, caller: &Caller, call_id: &str) -> CallerJson {
        let Caller { site, number, .. } = caller;
        let (contacts, note, history) = tokio::join!(
            self.callers.contacts.contacts_of(site, number),
            self.note_about(caller),
            self.earlier_calls(caller, call_id),
        );

        let mut known = CallerJson {
            note,
            history: history.unwrap_or_default(),
            ..CallerJson::default()
        };
        let contacts = contacts.unwrap_or_default();
        let contacts = contacts.iter().map(ContactJson::of);
        known.set_contacts(self, caller, contacts.collect());
        known
    }

    pub(in crate::gateway) async fn note_about(&self, caller: &Caller) -> Option<NoteJson> {
        let contacts = &self.callers.contacts;
        let note = contacts.note_of(&caller.site, &caller.number).await;

        note.ok().flatten().map(note_json)
    }

    /// The record of a call that the principal sees, with all of its numbers.
    pub(super) async fn seen_call(
        &self,
        principal: &Principal,
        id: &str,
    ) -> Result<Option<Value>, LedgerError> {
        let record = self.query.call(id).await?;

        Ok(record
            .and_then(|record| serde_json::from_str::<Value>(&record).ok())
            .filter(|record| sees_site(principal, record["site"].as_str())))
    }

    async fn earlier_calls(
        &self,
        caller: &Caller,
        call_id: &str,
    ) -> Result<Vec<EarlierCall>, LedgerError> {
        let filter = CallFilter {
            site: Some(caller.site.clone()),
            number: Some(caller.shown.clone()),
            limit: EARLIER_CALLS,
            ..CallFilter::default()
        };
        let earlier = self.query.calls(&filter).await?;

        let records = earlier
            .iter()
            .filter(|earlier| earlier.id != call_id)
            .filter_map(|earlier| serde_json::from_str::<Value>(&earlier.record).ok());
        Ok(records
            .map(|mut record| earlier_call(&mut record))
            .collect())
    }

    /// The look-up for the contacts of a caller, if he is of the public network.
    pub(in crate::gateway) fn look_up_for(&self, caller: &Caller) -> Option<&LookUp> {
        let is_short = Number::parse(&caller.number, None).is_short();

        self.callers.look_up.as_ref().filter(|_| !is_short)
    }
}
