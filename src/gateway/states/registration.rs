//! Request bodies of the call-state API, validated before they reach the ledger.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::{ObjectBuilder, Type};

use super::super::parameters::{SiteName, require_one_of};
use super::super::programs::{NAME_BYTES_MAX, check_name};
use crate::domain::fact::Site;
use crate::domain::time::At;
use crate::port::states::{CallState, PHONE_PROVIDER};
use crate::wire::names::{self, DIRECTIONS, STATUSES, schemas};

const METADATA_BYTES_MAX: usize = 64 * 1024;

/// Texts without control characters, as a pattern of the description.
const NO_CONTROLS: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

schemas! {
    StateName = name_schema(), "A name of 1 to 128 bytes, without control characters.";
}

fn name_schema() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(NAME_BYTES_MAX))
        .pattern(Some(NO_CONTROLS))
}

/// A call that another program registers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    #[schema(value_type = StateName)]
    call_id: String,
    #[schema(value_type = Option<StateName>)]
    session_id: Option<String>,
    /// The program; not `grandstream`, which are the calls of phones. `other` if absent.
    #[serde(default = "other")]
    #[schema(value_type = StateName)]
    provider: String,
    /// The site `default` if absent.
    #[schema(value_type = Option<SiteName>)]
    site: Option<String>,
    /// `inbound` if absent.
    #[serde(default = "inbound")]
    #[schema(value_type = names::Direction)]
    direction: String,
    /// `initiated` if absent.
    #[serde(default = "initiated")]
    #[schema(value_type = names::Status)]
    status: String,
    #[schema(value_type = Option<StateName>)]
    from: Option<String>,
    #[schema(value_type = Option<StateName>)]
    to: Option<String>,
    /// At most 64 KiB, without NUL characters.
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
}

fn other() -> String {
    "other".to_owned()
}

fn inbound() -> String {
    "inbound".to_owned()
}

fn initiated() -> String {
    "initiated".to_owned()
}

impl Registration {
    pub(super) const FIELDS: &str = "`call_id`, and optionally `session_id`, `provider`, `site`, \
                                     `direction`, `status`, `from`, `to` and `metadata`";

    pub(super) fn into_state(self, now: At) -> Result<CallState, String> {
        check_name("call_id", &self.call_id)?;
        check_name("provider", &self.provider)?;
        for (field, text) in [
            ("session_id", &self.session_id),
            ("from", &self.from),
            ("to", &self.to),
        ] {
            if let Some(text) = text {
                check_name(field, text)?;
            }
        }

        if self.provider == PHONE_PROVIDER {
            return Err(
                "calls of phones are made from their events; register calls of other providers"
                    .to_owned(),
            );
        }
        let site = self
            .site
            .as_deref()
            .map_or_else(|| Some(Site::default()), Site::parse)
            .ok_or("`site` is not a site name")?;
        require_one_of("direction", &self.direction, &DIRECTIONS)?;
        require_one_of("status", &self.status, &STATUSES)?;

        Ok(CallState {
            call_id: self.call_id,
            session_id: self.session_id,
            provider: self.provider,
            site: site.as_str().to_owned(),
            direction: self.direction,
            status: self.status,
            from_number: self.from.as_deref().map(Into::into),
            to_number: self.to.as_deref().map(Into::into),
            metadata: metadata_text(self.metadata)?,
            created_at: now,
            updated_at: now,
            ended_at: None,
        })
    }
}

/// A change of a registered call.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StateChange)]
pub(super) struct Change {
    #[schema(value_type = names::Status)]
    status: String,
    /// At most 64 KiB, without NUL characters. Unchanged if absent.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

impl Change {
    pub(super) const FIELDS: &str = "`status`, and optionally `metadata`";

    /// The status, and the metadata as JSON text.
    pub(super) fn validate(self) -> Result<(String, Option<String>), String> {
        require_one_of("status", &self.status, &STATUSES)?;

        Ok((self.status, self.metadata.map(metadata_text).transpose()?))
    }
}

fn metadata_text(metadata: Map<String, Value>) -> Result<String, String> {
    let text = Value::Object(metadata).to_string();

    // JSON columns cannot store the character NUL.
    let has_nul = text.contains("\\u0000");
    if text.len() > METADATA_BYTES_MAX || has_nul {
        return Err(format!(
            "`metadata` must have at most {METADATA_BYTES_MAX} bytes and no NUL"
        ));
    }

    Ok(text)
}
