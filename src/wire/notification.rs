//! Notification of a call as JSON: `{"call_id":..,"call":{..}}`. The call is `null` when its facts
//! turned out to be no call.

use crate::domain::fact::CallId;

/// The notification of a call with its current record, which is JSON text.
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
    fn a_notification_is_json_with_or_without_a_call() {
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
