//! Settings of callers beyond their numbers (`[contacts]`).

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::BadConfig;
use super::bounds::{self, Bound};
use super::secret::Secret;
use crate::gateway::{AddressTemplate, PageOpens};

const LOOKUP_MS_MAX: u64 = 15_000;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ContactSettings {
    page_url: String,
    page_opens: PageOpensSetting,
    lookup_url: String,
    lookup_token: Secret,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lookup_token_file: Option<PathBuf>,
    lookup_timeout_ms: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum PageOpensSetting {
    Click,
    Answer,
    Ring,
}

impl ContactSettings {
    pub(super) fn check(&self) -> Result<(), BadConfig> {
        bounds::check("contacts", &self.bounds())?;
        self.page()?;
        self.lookup_address()?;
        self.lookup_token().map(drop)
    }

    pub(super) fn bounds(&self) -> [Bound; 1] {
        [Bound::new(
            "lookup_timeout_ms",
            self.lookup_timeout_ms,
            LOOKUP_MS_MAX,
        )]
    }

    /// The address at which another program is asked for contacts.
    ///
    /// # Errors
    /// When it is no address with a number in it.
    pub fn lookup_address(&self) -> Result<Option<AddressTemplate>, BadConfig> {
        template("lookup_url", &self.lookup_url)
    }

    /// The token for the program that is asked.
    ///
    /// # Errors
    /// When its file cannot be read, or it is set twice.
    pub fn lookup_token(&self) -> Result<Option<Secret>, BadConfig> {
        const KEY: &str = "contacts.lookup_token";
        let token = match &self.lookup_token_file {
            None => self.lookup_token.clone(),
            Some(file) if self.lookup_token.reveal().is_empty() => Secret::read(file)
                .map_err(|error| BadConfig(format!("`{KEY}_file`: {}: {error}", file.display())))?,
            Some(_) => {
                return Err(BadConfig(format!(
                    "`{KEY}` and `{KEY}_file` are both set; remove one of them"
                )));
            }
        };

        Ok(Some(token).filter(|token| !token.reveal().trim().is_empty()))
    }

    #[must_use]
    pub fn lookup_timeout(&self) -> Duration {
        Duration::from_millis(self.lookup_timeout_ms)
    }

    /// The page of a caller in another program.
    ///
    /// # Errors
    /// When it is no address with a number in it.
    pub fn page(&self) -> Result<Option<AddressTemplate>, BadConfig> {
        template("page_url", &self.page_url)
    }

    #[must_use]
    pub fn page_opens(&self) -> PageOpens {
        match self.page_opens {
            PageOpensSetting::Click => PageOpens::OnClick,
            PageOpensSetting::Answer => PageOpens::OnAnswer,
            PageOpensSetting::Ring => PageOpens::OnRing,
        }
    }
}

fn template(key: &str, text: &str) -> Result<Option<AddressTemplate>, BadConfig> {
    if text.is_empty() {
        return Ok(None);
    }

    AddressTemplate::parse(text)
        .map(Some)
        .map_err(|reason| BadConfig(format!("`contacts.{key}`: {reason}")))
}
