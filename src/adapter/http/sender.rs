//! The sender: one request, one answer, within limits.

use async_trait::async_trait;
use ipnet::IpNet;

use super::clients::{PermittedClients, send_error};
use crate::port::webhooks::{SendError, Sender};

/// Sends webhooks to permitted addresses.
#[derive(Clone)]
pub struct WebhookSender(PermittedClients);

impl WebhookSender {
    /// A sender for the public internet and the listed networks.
    ///
    /// # Errors
    /// When the certificates of this machine cannot be read.
    pub fn new(listed: Vec<IpNet>) -> Result<WebhookSender, SendError> {
        PermittedClients::new(listed).map(WebhookSender)
    }
}

#[async_trait]
impl Sender for WebhookSender {
    fn check(&self, url: &str) -> Result<(), SendError> {
        self.0.parse(url).map(drop)
    }

    async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<u16, SendError> {
        let url = self.0.parse(url)?;
        let mut request = self.0.of(&url).post(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }

        // The body of the answer is not read.
        let answer = request.body(body).send().await.map_err(send_error)?;

        Ok(answer.status().as_u16())
    }
}
