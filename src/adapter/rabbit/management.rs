//! The management API, through which policies are set.

use reqwest::{Client, StatusCode, Url};
use serde_json::json;

use super::OPERATION_MAX;
use super::topology::{Policy, policies};
use crate::port::broker::BrokerError;

/// The address of the management API, with its credentials.
#[derive(Clone, Debug)]
pub struct Management(Url);

impl std::str::FromStr for Management {
    type Err = String;

    fn from_str(url: &str) -> Result<Management, String> {
        let not_http = || "it is not of the form http://user:password@host:port".to_owned();
        let url: Url = url.parse().map_err(|_| not_http())?;
        if url.cannot_be_a_base() || !matches!(url.scheme(), "http" | "https") {
            return Err(not_http());
        }

        Ok(Management(url))
    }
}

/// Sets our policies on a virtual host; other policies are left alone. Returns their names.
pub async fn apply(management: &Management, vhost: &str) -> Result<Vec<&'static str>, BrokerError> {
    let client = Client::builder()
        .timeout(OPERATION_MAX)
        .build()
        .map_err(|error| classify(&error))?;

    let mut names = Vec::new();
    for policy in policies() {
        set_policy(&client, management, vhost, &policy).await?;
        names.push(policy.name);
    }

    Ok(names)
}

async fn set_policy(
    client: &Client,
    management: &Management,
    vhost: &str,
    policy: &Policy,
) -> Result<(), BrokerError> {
    let request = client
        .put(management.policy_url(vhost, policy)?)
        .basic_auth(management.0.username(), management.0.password())
        .json(&json!({
            "pattern": policy.pattern,
            "apply-to": policy.applies_to,
            "definition": policy.definition,
            "priority": 0,
        }));

    let answer = request.send().await.map_err(|error| classify(&error))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        StatusCode::UNAUTHORIZED => Err(BrokerError::Mismatch(
            "the management API does not know this user".to_owned(),
        )),
        status => Err(BrokerError::Mismatch(format!(
            "the management API answers {status} to policy `{}`",
            policy.name
        ))),
    }
}

impl Management {
    /// Without credentials: they go into the header, never into an address that may be logged.
    fn policy_url(&self, vhost: &str, policy: &Policy) -> Result<Url, BrokerError> {
        let invalid = || BrokerError::Mismatch("the management API has no such address".to_owned());
        let mut url = self.0.clone();

        url.set_username("").map_err(|()| invalid())?;
        url.set_password(None).map_err(|()| invalid())?;
        url.path_segments_mut()
            .map_err(|()| invalid())?
            .pop_if_empty()
            .extend(["api", "policies", vhost, policy.name]);

        Ok(url)
    }
}

/// The error without the address, which may hold a password.
fn classify(error: &reqwest::Error) -> BrokerError {
    let problem = if error.is_timeout() {
        "does not answer"
    } else {
        "cannot be reached"
    };

    BrokerError::unavailable(format!("the management API {problem}"))
}
