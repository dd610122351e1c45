//! Requests to receivers of webhooks, and to another program that knows callers. An address leads
//! only where the settings permit it: to the public internet, and to networks that are listed.

mod addresses;
mod clients;
mod lookup;
mod sender;

pub use lookup::HttpContacts;
pub use sender::WebhookSender;
