//! What watchers are told of a call: `{"call_id":..,"call":{..}}`, without a call when it turned
//! out to be none.

use crate::domain::fact::CallId;

/// The call as it stands, with its record as text.
#[must_use]
pub fn json(call: CallId, record: Option<&str>) -> String {
    format!(
        r#"{{"call_id":"{call}","call":{}}}"#,
        record.unwrap_or("null")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fact::EventId;

    #[test]
    fn news_are_json_with_or_without_a_call() {
        let id = "00000000-0000-0000-0000-000000000007";
        assert_eq!(
            json(EventId(7), None),
            format!(r#"{{"call_id":"{id}","call":null}}"#)
        );
        assert_eq!(
            json(EventId(7), Some(r#"{"a":1}"#)),
            format!(r#"{{"call_id":"{id}","call":{{"a":1}}}}"#)
        );
    }
}
