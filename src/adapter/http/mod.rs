//! Requests to receivers of webhooks. Their addresses come from people, so an address leads only
//! where the settings permit it: to the public internet, and to networks that are listed.

mod addresses;
mod sender;

pub use sender::WebhookSender;
