//! The callers of a gateway: contacts, pages, and the look-up in another program.

use std::sync::Arc;

use super::ServiceError;
use crate::adapter::http::HttpContacts;
use crate::config::Settings;
use crate::domain::fact::DEFAULT_SITE;
use crate::gateway::{CallerBook, LookUp};
use crate::port::clock::Clock;
use crate::port::contacts::Contacts;
use crate::port::live::LiveDirectory;

/// A number to check the address with.
const EXAMPLE_NUMBER: &str = "+4930";

pub(super) fn caller_book(
    settings: &Settings,
    contacts: Arc<dyn Contacts>,
    live: Option<Arc<dyn LiveDirectory>>,
    clock: &Arc<dyn Clock>,
) -> Result<CallerBook, ServiceError> {
    let networks = settings.gateway.webhook_networks.clone();
    let settings = &settings.contacts;

    let look_up = match settings.lookup_address()? {
        None => None,
        Some(address) => {
            let token = settings.lookup_token()?;
            let token = token.as_ref().map(|token| token.reveal().trim());
            let source = HttpContacts::new(networks, token, settings.lookup_timeout())?;
            source
                .check(&address.fill(DEFAULT_SITE, EXAMPLE_NUMBER))
                .map_err(ServiceError::LookUp)?;
            Some(LookUp::new(
                address,
                Arc::new(source),
                live,
                Arc::clone(clock),
            ))
        }
    };

    Ok(CallerBook {
        contacts,
        page: settings.page()?,
        page_opens: settings.page_opens(),
        look_up,
    })
}
