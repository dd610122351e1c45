//! The API of a running service, as its own command line asks it.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde_json::Value;

const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A stream is silent between two pings, not longer.
const SILENCE_MAX: Duration = Duration::from_secs(75);
/// A line of the stream is one call.
const LINE_BYTES_MAX: usize = 4 << 20;

/// Why the API cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{0:?} is no address of an API")]
    BadAddress(String),
    #[error("the API does not answer")]
    NoAnswer(#[from] reqwest::Error),
    #[error("the API answers with {status}: {detail}")]
    Refused { status: StatusCode, detail: String },
    #[error("the stream ended")]
    Ended,
}

/// The API at an address, with the token of a program where accounts exist.
#[derive(Clone)]
pub struct Api {
    client: Client,
    base: String,
    token: Option<String>,
}

impl Api {
    /// # Errors
    /// When no client can be made.
    pub fn new(base: &str, token: Option<String>) -> Result<Api, ApiError> {
        let client = Client::builder()
            .connect_timeout(ANSWER_MAX)
            .read_timeout(SILENCE_MAX)
            .no_proxy()
            .build()?;

        Ok(Api {
            client,
            base: base.trim_end_matches('/').to_owned(),
            token,
        })
    }

    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The metrics, where this is the base of an operations listener.
    ///
    /// # Errors
    /// When it does not answer with success.
    pub async fn metrics(&self) -> Result<String, ApiError> {
        let request = self.client.get(format!("{}/metrics", self.base));
        let answer = checked(request.timeout(ANSWER_MAX).send().await?).await?;

        Ok(answer.text().await?)
    }

    /// # Errors
    /// When the API does not answer with success.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, ApiError> {
        let request = self.request(path, query)?.timeout(ANSWER_MAX);
        let answer = checked(request.send().await?).await?;

        Ok(answer.json().await?)
    }

    /// Passes the data of each live event to `each`, until the stream ends or `each` fails.
    ///
    /// # Errors
    /// When the stream cannot be opened, or ends; else the failure of `each`.
    pub async fn follow<E: From<ApiError>>(
        &self,
        mut each: impl FnMut(&str, &Value) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut answer = self.open_stream().await?;
        let mut rest = Vec::new();
        let mut name = String::new();

        while let Some(chunk) = answer.chunk().await.map_err(ApiError::from)? {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                let line = line.trim_end();
                if let Some(event) = line.strip_prefix("event: ") {
                    event.clone_into(&mut name);
                } else if let Some(data) = line.strip_prefix("data: ") {
                    let data = serde_json::from_str(data).unwrap_or_default();
                    each(&name, &data)?;
                }
            }
            if rest.len() > LINE_BYTES_MAX {
                break;
            }
        }

        Err(ApiError::Ended.into())
    }

    async fn open_stream(&self) -> Result<reqwest::Response, ApiError> {
        checked(self.request("stream", &[])?.send().await?).await
    }

    fn request(&self, path: &str, query: &[(&str, String)]) -> Result<RequestBuilder, ApiError> {
        let url = Url::parse_with_params(&format!("{}/api/v1/{path}", self.base), query)
            .map_err(|_| ApiError::BadAddress(self.base.clone()))?;

        let request = self.client.get(url);

        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }
}

async fn checked(answer: reqwest::Response) -> Result<reqwest::Response, ApiError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }

    let problem: Value = answer.json().await.unwrap_or_default();
    Err(ApiError::Refused {
        status,
        detail: problem["detail"]
            .as_str()
            .unwrap_or("no reason given")
            .to_owned(),
    })
}
