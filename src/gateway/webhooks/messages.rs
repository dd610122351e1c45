//! From notifications to the messages that receivers get.

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::access::SiteScope;
use crate::domain::time::At;
use crate::port::webhooks::{NewMessage, PlacedNotification, Webhook};
use crate::wire::instant;

/// The body of a message.
pub(super) fn body(event: &str, now: At, data: &str) -> String {
    format!(
        r#"{{"type":"{event}","timestamp":"{}","data":{data}}}"#,
        instant::text(now)
    )
}

/// A message for each notification that some receiver wants.
pub(super) fn messages_of(
    placed: &[PlacedNotification],
    webhooks: &[Webhook],
    first: At,
) -> Vec<NewMessage> {
    let instants = (first.0..).map(At);

    let messages = placed
        .iter()
        .zip(instants)
        .filter_map(|(notification, at)| {
            let (site, call) = place_of(&notification.data);
            let receivers: Vec<String> = webhooks
                .iter()
                .filter(|webhook| {
                    wants(webhook, &notification.event) && sees(webhook, site.as_deref())
                })
                .map(|webhook| webhook.id.clone())
                .collect();

            (!receivers.is_empty()).then(|| NewMessage {
                id: message_id(notification),
                event: notification.event.clone(),
                site,
                call,
                body: body(&notification.event, at, &notification.data),
                created_at: at,
                receivers,
            })
        });
    messages.collect()
}

pub(super) fn wants(webhook: &Webhook, event: &str) -> bool {
    webhook.events.is_empty() || webhook.events.iter().any(|wanted| wanted == event)
}

/// Whether a receiver gets the events of a site. Those of a call whose facts cannot be read, and
/// whose site is unknown, go to the receivers of all sites.
pub(super) fn sees(webhook: &Webhook, site: Option<&str>) -> bool {
    match site {
        Some(site) => webhook.sites.contains(site),
        None => webhook.sites == SiteScope::All,
    }
}

/// The site of a notification, and the id of its call.
fn place_of(data: &str) -> (Option<String>, String) {
    let data: Value = serde_json::from_str(data).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);

    (
        text(&data["call"]["site"]).or_else(|| text(&data["site"])),
        text(&data["call_id"]).unwrap_or_default(),
    )
}

/// The same for the same notification, and another one in a new database that counts from one again.
fn message_id(notification: &PlacedNotification) -> String {
    let mut digest = Sha256::new();
    for number in [
        notification.generation,
        notification.partition,
        notification.number,
    ] {
        digest.update(number.to_be_bytes());
    }
    digest.update(&notification.data);

    format!("msg_{}", HEXLOWER.encode(&digest.finalize()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_a_new_database_has_another_id() {
        let placed = |data: &str| PlacedNotification {
            generation: 0,
            partition: 0,
            number: 1,
            event: "call.started".to_owned(),
            data: data.to_owned(),
            sent_before: None,
        };

        assert_eq!(message_id(&placed("a")), message_id(&placed("a")));
        assert_ne!(message_id(&placed("a")), message_id(&placed("b")));
    }
}
