//! Notification of a call as JSON: `{"call_id":..,"call":{..}}`, or
//! `{"call_id":..,"site":..,"call":null}` when its facts turned out to be no call.

use serde_json::Value;

use crate::domain::fact::{CallId, Site};

/// The notification of a call with its current record, which is JSON text. A call without a record
/// has its site instead, unless its facts cannot be read.
#[must_use]
pub fn json(call: CallId, site: Option<&Site>, record: Option<&str>) -> String {
    match (record, site) {
        (Some(record), _) => format!(r#"{{"call_id":"{call}","call":{record}}}"#),
        (None, Some(site)) => {
            let site = Value::from(site.as_str());
            format!(r#"{{"call_id":"{call}","site":{site},"call":null}}"#)
        }
        (None, None) => format!(r#"{{"call_id":"{call}","call":null}}"#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fact::EventId;

    #[test]
    fn a_notification_is_json_with_or_without_a_call() {
        let id = "00000000-0000-0000-0000-000000000007";

        assert_eq!(
            json(EventId(7), None, None),
            format!(r#"{{"call_id":"{id}","call":null}}"#)
        );
        assert_eq!(
            json(EventId(7), Some(&Site::default()), None),
            format!(r#"{{"call_id":"{id}","site":"default","call":null}}"#)
        );
        assert_eq!(
            json(EventId(7), Some(&Site::default()), Some(r#"{"a":1}"#)),
            format!(r#"{{"call_id":"{id}","call":{{"a":1}}}}"#)
        );
    }
}
