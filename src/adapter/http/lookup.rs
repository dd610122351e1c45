//! Contacts of another program, over HTTP.
//!
//! The answer is JSON: a contact, a list of contacts, or an object with such a list as `contacts`. A
//! contact has a `name`, and optionally `company` and `url`; other fields are not read. 204 and 404
//! say that there is none.

use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Response, StatusCode};
use serde::Deserialize;

use super::clients::{PermittedClients, send_error};
use crate::domain::text::is_printable;
use crate::port::contacts::{CANDIDATES_MAX, ContactSource, FoundContact};
use crate::port::webhooks::SendError;

const ANSWER_BYTES_MAX: usize = 64 * 1024;
const TEXT_CHARS_MAX: usize = 128;

/// Asks another program for contacts.
pub struct HttpContacts {
    clients: PermittedClients,
    authorization: Option<HeaderValue>,
    time_max: Duration,
}

/// The forms of an answer.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Several(Vec<Entry>),
    Listed { contacts: Vec<Entry> },
    One(Entry),
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(default)]
    company: Option<String>,
    #[serde(default)]
    url: Option<String>,
}

impl HttpContacts {
    /// A source behind the public internet or the listed networks. `token` is sent as a bearer
    /// token.
    ///
    /// # Errors
    /// When the certificates of this machine cannot be read, or the token cannot stand in a header.
    pub fn new(
        listed: Vec<IpNet>,
        token: Option<&str>,
        time_max: Duration,
    ) -> Result<HttpContacts, SendError> {
        let authorization = match token {
            None => None,
            Some(token) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                    .map_err(|_| refused("the token cannot stand in a header"))?;
                value.set_sensitive(true);
                Some(value)
            }
        };

        Ok(HttpContacts {
            clients: PermittedClients::new(listed)?,
            authorization,
            time_max,
        })
    }

    /// Whether requests may go to an address, as far as its text tells.
    ///
    /// # Errors
    /// Why not, for the person who wrote the setting.
    pub fn check(&self, url: &str) -> Result<(), SendError> {
        self.clients.parse(url).map(drop)
    }

    async fn request(&self, url: &str) -> Result<Vec<FoundContact>, SendError> {
        let url = self.clients.parse(url)?;
        let mut request = self
            .clients
            .of(&url)
            .get(url)
            .header(ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }

        let answer = request.send().await.map_err(send_error)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => return Ok(Vec::new()),
            status => return Err(refused(&format!("the answer is {status}"))),
        }
        let body = read_body(answer).await?;

        contacts_of(&body)
    }
}

#[async_trait]
impl ContactSource for HttpContacts {
    async fn contacts_at(&self, url: &str) -> Result<Vec<FoundContact>, SendError> {
        tokio::time::timeout(self.time_max, self.request(url))
            .await
            .unwrap_or(Err(SendError::TimedOut))
    }
}

async fn read_body(mut answer: Response) -> Result<Vec<u8>, SendError> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(send_error)? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(refused("the answer is larger than 64 KiB"));
        }
        body.extend_from_slice(&part);
    }

    Ok(body)
}

fn contacts_of(body: &[u8]) -> Result<Vec<FoundContact>, SendError> {
    // The error of the parser would quote the answer.
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| refused("the answer is no contact, and no list of contacts"))?;
    let entries = match answer {
        Answer::Several(contacts) | Answer::Listed { contacts } => contacts,
        Answer::One(contact) => vec![contact],
    };

    let found = entries.into_iter().filter_map(|entry| {
        let name = shown(&entry.name)?;
        Some(FoundContact {
            name: name.as_str().into(),
            company: entry
                .company
                .as_deref()
                .and_then(shown)
                .unwrap_or_default()
                .as_str()
                .into(),
            url: entry.url.unwrap_or_default().as_str().into(),
        })
    });
    Ok(found.take(CANDIDATES_MAX).collect())
}

/// A text without characters that would let it look like another; `None` when nothing is left.
fn shown(text: &str) -> Option<String> {
    let shown: String = text
        .trim()
        .chars()
        .filter(|char| is_printable(*char))
        .take(TEXT_CHARS_MAX)
        .collect();

    (!shown.is_empty()).then_some(shown)
}

fn refused(reason: &str) -> SendError {
    SendError::Refused(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(body: &str) -> Option<Vec<String>> {
        let found = contacts_of(body.as_bytes()).ok()?;

        Some(
            found
                .iter()
                .map(|contact| (*contact.name).to_owned())
                .collect(),
        )
    }

    #[test]
    fn each_form_of_an_answer_is_read() {
        let name = Some(vec!["Ada".to_owned()]);
        assert_eq!(names(r#"{"name":"Ada","id":7}"#), name);
        assert_eq!(names(r#"[{"name":"Ada","company":null}]"#), name);
        assert_eq!(
            names(r#"{"contacts":[{"name":"A\u202eda"},{"name":" "}]}"#),
            name
        );
        assert_eq!(names("[]"), Some(Vec::new()));
        assert_eq!(names(r#"{"error":"no"}"#), None);
        assert_eq!(names("<html>"), None);
    }
}
