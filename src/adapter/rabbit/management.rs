//! Policies are set through the management API; where there is none, the same is printed as
//! commands.

use reqwest::{Client, StatusCode, Url};
use serde_json::json;

use super::topology::policies;
use super::{BrokerError, PATIENCE};

/// Where the management API is, and who may use it.
#[derive(Clone, Debug)]
pub struct Management(Url);

impl std::str::FromStr for Management {
    type Err = String;

    fn from_str(url: &str) -> Result<Management, String> {
        let url: Url = url.parse().map_err(|error| format!("{error}"))?;
        if url.cannot_be_a_base() || !matches!(url.scheme(), "http" | "https") {
            return Err("it is no http address".to_owned());
        }
        Ok(Management(url))
    }
}

/// Sets our policies on a virtual host; those of others are left alone. Returns their names.
pub async fn apply(management: &Management, vhost: &str) -> Result<Vec<&'static str>, BrokerError> {
    let client = Client::builder()
        .timeout(PATIENCE)
        .build()
        .map_err(|error| classify(&error))?;
    let mut set = Vec::new();
    for policy in policies() {
        let mut url = management.0.clone();
        let (user, password) = (
            url.username().to_owned(),
            url.password().map(ToOwned::to_owned),
        );
        // Credentials go into the header, never into an address that somebody logs.
        let _plain = (url.set_username(""), url.set_password(None));
        url.path_segments_mut()
            .map_err(|()| {
                BrokerError::Mismatch("the management API has no such address".to_owned())
            })?
            .pop_if_empty()
            .extend(["api", "policies", vhost, policy.name]);
        let body = json!({ "pattern": policy.pattern, "apply-to": policy.applies_to, "definition": policy.definition, "priority": 0 });
        let request = client.put(url).basic_auth(user, password).json(&body);
        let answer = request.send().await.map_err(|error| classify(&error))?;
        match answer.status() {
            status if status.is_success() => set.push(policy.name),
            StatusCode::UNAUTHORIZED => {
                return Err(BrokerError::Mismatch(
                    "the management API does not know this user".to_owned(),
                ));
            }
            status => {
                return Err(BrokerError::Mismatch(format!(
                    "the management API answers {status} to policy `{}`",
                    policy.name
                )));
            }
        }
    }
    Ok(set)
}

/// Without the address: it may hold a password.
fn classify(error: &reqwest::Error) -> BrokerError {
    let kind = if error.is_timeout() {
        "does not answer"
    } else {
        "cannot be reached"
    };
    BrokerError::Unavailable(format!("the management API {kind}"))
}
