//! What watchers are told of a call: `{"call_id":..,"call":{..}}`, without a call when it turned out to be none.

use super::call_json::CallJson;
use crate::domain::fact::CallId;
use crate::domain::record::CallRecord;

#[derive(serde::Serialize)]
struct NewsJson<'a> {
    call_id: String,
    call: Option<CallJson<'a>>,
}

/// The call as it stands, as text.
#[must_use]
pub fn text(call: CallId, record: Option<&CallRecord>) -> String {
    let news = NewsJson { call_id: call.to_string(), call: record.map(CallJson::of) };
    // A record holds only text and finite numbers: there is nothing that JSON cannot say.
    serde_json::to_string(&news).unwrap_or_default()
}
