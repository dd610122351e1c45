//! Signatures of deliveries, as the specification Standard Webhooks has them: HMAC-SHA256 over id,
//! instant and body.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::time::At;
use crate::port::webhooks::Webhook;

const SECRET_PREFIX: &str = "whsec_";
const SECRET_BYTES: usize = 32;

/// A new secret.
///
/// # Panics
/// When the operating system has no random numbers.
pub(super) fn new_secret() -> String {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");

    format!("{SECRET_PREFIX}{}", BASE64.encode(&bytes))
}

/// The headers of a delivery at an instant. After a change of the secret both secrets sign for a
/// while.
pub(super) fn headers(
    webhook: &Webhook,
    message: &str,
    body: &str,
    now: At,
) -> [(&'static str, String); 4] {
    let timestamp = now.0.div_euclid(1_000_000);
    let previous = webhook
        .previous_secret
        .iter()
        .filter(|(_, until)| *until > now)
        .map(|(secret, _)| secret);
    let signatures: Vec<String> = std::iter::once(&webhook.secret)
        .chain(previous)
        .map(|secret| format!("v1,{}", sign(secret, message, timestamp, body)))
        .collect();

    [
        ("content-type", "application/json".to_owned()),
        ("webhook-id", message.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ]
}

fn sign(secret: &str, message: &str, timestamp: i64, body: &str) -> String {
    let encoded = secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret);
    // Secrets are made by this program; another text signs as it is.
    let key = BASE64
        .decode(encoded.as_bytes())
        .unwrap_or_else(|_| encoded.as_bytes().to_vec());
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key of HMAC may have any length");
    mac.update(format!("{message}.{timestamp}.{body}").as_bytes());

    BASE64.encode(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_is_signed_as_published() {
        let signature = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );

        assert_eq!(signature, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_differ() {
        let (one, other) = (new_secret(), new_secret());

        assert_ne!(one, other);
        assert_eq!(one.len(), SECRET_PREFIX.len() + 44);
    }
}
