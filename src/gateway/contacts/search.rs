//! The parties that people have names for: a search for a name finds the calls of its numbers.

use crate::gateway::Gateway;
use crate::port::contacts::ContactPage;
use crate::port::error::LedgerError;
use crate::port::query::NamedParty;

/// Contacts whose calls a search finds. A fragment that more of them have is no name yet.
const CONTACTS_MAX: u32 = 200;

impl Gateway {
    /// The numbers of contacts and the extensions of people with a fragment of a name, or of the name
    /// of a company.
    pub(in crate::gateway) async fn parties_named(
        &self,
        site: Option<&str>,
        fragment: &str,
    ) -> Result<Vec<NamedParty>, LedgerError> {
        let page = ContactPage {
            site: site.map(ToOwned::to_owned),
            text: Some(fragment.into()),
            skipped: 0,
            limit: CONTACTS_MAX,
        };
        let contacts = self.callers.contacts.contacts(&page).await?.into_iter();
        let people = self.people.people(site).await?.into_iter();

        let fragment = fragment.to_lowercase();
        let of_contacts = contacts.map(|contact| NamedParty {
            site: contact.site,
            number: (*contact.number).to_owned(),
        });
        let of_people = people
            .filter(|person| person.name.to_lowercase().contains(&fragment))
            .map(|person| NamedParty {
                site: person.site,
                number: person.extension,
            });
        Ok(of_contacts.chain(of_people).collect())
    }
}
