//! The caller of a call: his contacts, the note about him, his earlier calls.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::access::mask_numbers_in;
use crate::gateway::Gateway;
use crate::port::contacts::{CallerNote, Contact};
use crate::wire::instant;
use crate::wire::names;

/// The other side of a call, by site and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct Caller {
    pub site: String,
    /// In the form in which contacts are stored.
    pub number: String,
    /// International, or as the phone showed it: the form in which calls are searched.
    pub(super) shown: String,
}

/// A contact of a caller.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[schema(as = CallerContact)]
pub(in crate::gateway) struct ContactJson {
    pub(super) name: String,
    pub(super) company: Option<String>,
    /// The page of the contact in another program.
    pub(super) url: Option<String>,
}

/// The note of an agent about a caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CallerNote)]
pub(in crate::gateway) struct NoteJson {
    text: String,
    written_by: String,
    #[schema(format = DateTime)]
    written_at: String,
}

/// An earlier call of a caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct EarlierCall {
    call_id: Value,
    #[schema(value_type = String, format = DateTime)]
    started_at: Value,
    #[schema(value_type = Option<names::Direction>)]
    direction: Value,
    #[schema(value_type = Option<names::Outcome>)]
    outcome: Value,
    /// The extension that answered.
    #[schema(value_type = Option<String>)]
    extension: Value,
    #[schema(value_type = Option<f64>)]
    talk_seconds: Value,
}

/// The caller of a call, as an agent needs him.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[schema(as = Caller)]
pub(in crate::gateway) struct CallerJson {
    /// The name of the only contact, or the company of all of them.
    pub(super) caller_name: Option<String>,
    /// Several where the number has several contacts: one of them calls.
    pub(super) contacts: Vec<ContactJson>,
    pub(super) note: Option<NoteJson>,
    /// The page of the caller in another program.
    pub(super) url: Option<String>,
    /// Earlier calls of the caller at the site, the latest first.
    pub(super) history: Vec<EarlierCall>,
}

impl Caller {
    /// The other side of a call: the called party of an outbound one, else the caller. `None` where the
    /// number is withheld.
    pub(in crate::gateway) fn of(gateway: &Gateway, record: &Value) -> Option<Caller> {
        let is_outbound = record["direction"].as_str() == Some("outbound");
        let party = &record[if is_outbound { "to" } else { "from" }];
        let site = record["site"].as_str()?;
        let text = party["e164"]
            .as_str()
            .or_else(|| party["number"].as_str())?;

        Some(Caller {
            site: site.to_owned(),
            number: gateway.number_of(site, text)?,
            shown: text.to_owned(),
        })
    }

    #[cfg(test)]
    pub(super) fn example(number: &str) -> Caller {
        Caller {
            site: "default".to_owned(),
            number: number.to_owned(),
            shown: number.to_owned(),
        }
    }
}

impl ContactJson {
    /// A contact whose company and address may be empty.
    pub(super) fn new(name: &str, company: &str, url: &str) -> ContactJson {
        let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());

        ContactJson {
            name: name.to_owned(),
            company: filled(company),
            url: filled(url),
        }
    }

    pub(super) fn of(contact: &Contact) -> ContactJson {
        ContactJson::new(&contact.name, &contact.company, &contact.url)
    }
}

/// The one name of contacts with the same number: theirs, or their company's.
pub(super) fn one_name_of(contacts: &[ContactJson]) -> Option<&str> {
    let (first, others) = contacts.split_first()?;
    // A list may have a contact more than once.
    if others.iter().all(|other| other.name == first.name) {
        return Some(&first.name);
    }
    let is_company = others.iter().all(|other| other.company == first.company);

    first.company.as_deref().filter(|_| is_company)
}

impl CallerJson {
    pub(in crate::gateway) fn has_contacts(&self) -> bool {
        !self.contacts.is_empty()
    }

    /// Leaves out the addresses, which hold the number, and masks numbers in texts.
    pub(super) fn mask(&mut self) {
        self.url = None;
        self.caller_name = self.caller_name.as_deref().map(mask_numbers_in);
        for contact in &mut self.contacts {
            contact.url = None;
            contact.name = mask_numbers_in(&contact.name);
            contact.company = contact.company.as_deref().map(mask_numbers_in);
        }
        if let Some(note) = &mut self.note {
            note.text = mask_numbers_in(&note.text);
        }
    }

    /// Sets the contacts, and the page of the caller: that of the only contact, or the general one.
    pub(in crate::gateway) fn set_contacts(
        &mut self,
        gateway: &Gateway,
        caller: &Caller,
        contacts: Vec<ContactJson>,
    ) {
        self.caller_name = one_name_of(&contacts).map(ToOwned::to_owned);
        self.contacts = contacts;

        let own = match &self.contacts[..] {
            [only] => only.url.clone(),
            _ => None,
        };
        let general = || {
            let page = gateway.callers.page.as_ref()?;
            Some(page.fill(&caller.site, &caller.number))
        };
        self.url = own.or_else(general);
    }
}

pub(super) fn note_json(note: CallerNote) -> NoteJson {
    NoteJson {
        text: (*note.text).to_owned(),
        written_by: note.written_by,
        written_at: instant::text(note.written_at),
    }
}

pub(super) fn earlier_call(record: &mut Value) -> EarlierCall {
    EarlierCall {
        call_id: record["id"].take(),
        started_at: record["started_at"].take(),
        direction: record["direction"].take(),
        outcome: record["outcome"].take(),
        extension: record["answered_by"]["extension"].take(),
        talk_seconds: record["talk_seconds"].take(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_contacts_of_a_company_have_its_name() {
        let ada = ContactJson::new("Ada", "Vogel", "");
        let bea = |company| ContactJson::new("Bea", company, "");

        assert_eq!(one_name_of(std::slice::from_ref(&ada)), Some("Ada"));
        assert_eq!(one_name_of(&[ada.clone(), ada.clone()]), Some("Ada"));
        assert_eq!(one_name_of(&[ada.clone(), bea("Vogel")]), Some("Vogel"));
        assert_eq!(one_name_of(&[ada, bea("Falke")]), None);
        let without = ContactJson::new("Ada", "", "");
        assert_eq!(one_name_of(&[without, bea("")]), None);
    }
}
