//! The calls that a running service records, as its API shows them.

use std::time::Duration;

use serde_json::Value;

use super::api::{Api, ApiError};
use crate::domain::time::At;
use crate::wire::instant;

const PAGE_CALLS: &str = "200";
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Records that were the same at so many looks, with every call over, do not change any more: the
/// longest wait of the rules after the end of a call is shorter.
const LOOKS_UNCHANGED: u32 = 10;
/// Calls whose end was never reported stay open: after so many looks they are taken as they are.
const LOOKS_MAX: u32 = 100;

/// The calls of a site since an instant.
#[derive(Clone, Debug)]
pub struct RecordedCalls {
    /// The base of the API, such as `http://127.0.0.1:8088`.
    pub api: String,
    pub site: String,
    pub since: At,
}

impl RecordedCalls {
    /// The records, when none of them changes any more.
    ///
    /// # Errors
    /// When the API cannot be read.
    pub async fn decided(&self) -> Result<Vec<Value>, ApiError> {
        let api = Api::new(&self.api, None)?;
        let mut records = self.read(&api).await?;
        let mut unchanged = 0;

        for _ in 0..LOOKS_MAX {
            let is_over = |record: &Value| !record["ended_at"].is_null();
            if unchanged >= LOOKS_UNCHANGED && records.iter().all(is_over) {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;

            let now = self.read(&api).await?;
            unchanged = if now == records { unchanged + 1 } else { 0 };
            records = now;
        }

        Ok(records)
    }

    async fn read(&self, api: &Api) -> Result<Vec<Value>, ApiError> {
        let since = instant::text(self.since);
        let mut records = Vec::new();
        let mut cursor: Option<String> = None;

        loop {
            let mut parameters = vec![
                ("site", self.site.clone()),
                ("since", since.clone()),
                ("limit", PAGE_CALLS.to_owned()),
            ];
            parameters.extend(cursor.map(|cursor| ("cursor", cursor)));

            let mut page = api.get("calls", &parameters).await?;
            if let Some(Value::Array(calls)) = page.get_mut("calls").map(Value::take) {
                records.extend(calls);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(records),
            }
        }
    }
}
