//! Rows of a batch for each table: one array per column, one CTE of the batch statement per table.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::batch_sql::{
    CLOSE_WITHDRAWN_STATES, CURRENT_LINKS, DELETE_CALL_LOGS, DELETE_NOTIFICATIONS, DELETE_OUTCOMES,
    DELETE_STALE_LINKS, DELETE_STATES, DELETE_SURPLUS_PARTICIPANTS, INSERT_DEAD_EVENTS,
    INSERT_EVENTS, INSERT_SITES, RETRACT_MISSED_CALLS, UPDATE_FINAL_STATES, UPSERT_CALL_LOGS,
    UPSERT_DEVICES, UPSERT_EXTENSIONS, UPSERT_LINKS, UPSERT_MISSED_CALLS, UPSERT_NOTIFICATIONS,
    UPSERT_OPEN_STATES, UPSERT_OUTCOMES, UPSERT_PARTICIPANTS,
};
use super::column::Columns;
use super::statement::BatchStatement;
use super::written_rows::OutcomeRow;
use crate::adapter::sql;
use crate::domain::device::{Device, Extension};
use crate::domain::fact::{CallId, CallRef, Site};
use crate::domain::link::Link;
use crate::domain::number::Number;
use crate::domain::record::{CallRecord, Participant};
use crate::domain::time::At;
use crate::port::ledger::{CallUpdate, ReceivedFact, RejectedMessage};
use crate::port::outbox::Notification;
use crate::wire::call_json::{
    direction_name, outcome_name, participant_outcome_name, role_name, status_name,
};

pub(super) fn uuid(id: CallId) -> Uuid {
    Uuid::from_u128(id.0)
}

pub(super) fn uuids(ids: impl IntoIterator<Item = CallId>) -> Vec<Uuid> {
    ids.into_iter().map(uuid).collect()
}

fn micros(at: Option<At>) -> Option<i64> {
    at.map(|at| at.0)
}

impl<'v> BatchStatement<'v> {
    pub(super) fn insert_events(&mut self, facts: &'v [ReceivedFact]) {
        self.add_cte("insert_events", INSERT_EVENTS, |columns| {
            columns
                .uuids(facts, |received| uuid(received.fact.id))
                .texts(facts, |received| received.fact.site.as_str())
                .numbers(facts, |received| received.fact.at.0)
                .texts(facts, |received| received.fact.kind.name())
                .texts(facts, |received| received.fact.device.to_string())
                .optional_texts(facts, |received| {
                    received.fact.local.as_ref().map(Extension::as_str)
                })
                .optional_texts(facts, |received| {
                    received.fact.remote.as_ref().map(Number::raw)
                })
                .optional_texts(facts, |received| {
                    received.fact.remote.as_ref().and_then(Number::e164)
                })
                .optional_texts(facts, |received| {
                    received.fact.call_ref.as_ref().map(CallRef::as_str)
                })
                .texts(facts, |received| {
                    std::str::from_utf8(&received.message).unwrap_or_default()
                });
        });
    }

    pub(super) fn insert_dead_events(&mut self, rejected: &'v [RejectedMessage]) {
        self.add_cte("insert_dead_events", INSERT_DEAD_EVENTS, |columns| {
            columns
                .texts(rejected, |message| sql::digest(&message.message))
                .texts(rejected, |message| message.reason.as_str())
                .bytes(rejected, |message| message.message.clone());
        });
    }

    pub(super) fn insert_sites(&mut self, sites: &[(Site, At)]) {
        self.add_cte("insert_sites", INSERT_SITES, |columns| {
            columns
                .texts(sites, |(site, _)| site.as_str().to_owned())
                .numbers(sites, |(_, first_seen)| first_seen.0);
        });
    }

    pub(super) fn upsert_devices(&mut self, devices: &BTreeMap<(Site, Device), At>) {
        self.add_cte("upsert_devices", UPSERT_DEVICES, |columns| {
            columns
                .texts(devices.keys(), |(site, _)| site.as_str().to_owned())
                .texts(devices.keys(), |(_, device)| device.to_string())
                .numbers(devices.values(), |last_seen| last_seen.0);
        });
    }

    pub(super) fn upsert_extensions(&mut self, extensions: &BTreeMap<(Site, Extension), At>) {
        self.add_cte("upsert_extensions", UPSERT_EXTENSIONS, |columns| {
            columns
                .texts(extensions.keys(), |(site, _)| site.as_str().to_owned())
                .texts(extensions.keys(), |(_, extension)| {
                    extension.as_str().to_owned()
                })
                .numbers(extensions.values(), |first_report| first_report.0);
        });
    }

    pub(super) fn upsert_call_logs(&mut self, calls: &[&'v CallUpdate]) {
        self.add_cte("upsert_call_logs", UPSERT_CALL_LOGS, |columns| {
            columns
                .uuids(calls, |call| uuid(call.record.id))
                .texts(calls, |call| call.record.site.as_str())
                .texts(calls, |call| direction_name(call.record.direction))
                .texts(calls, |call| status_name(call.record.status))
                .optional_texts(calls, |call| call.record.outcome.map(outcome_name))
                .optional_texts(calls, |call| call.record.from.number.as_deref())
                .optional_texts(calls, |call| call.record.from.e164.as_deref())
                .optional_texts(calls, |call| call.record.to.number.as_deref())
                .optional_texts(calls, |call| call.record.to.e164.as_deref())
                .optional_texts(calls, |call| sql::answered_by(&call.record))
                .numbers(calls, |call| call.record.started_at.0)
                .optional_numbers(calls, |call| micros(call.record.answered_at))
                .optional_numbers(calls, |call| micros(call.record.ended_at))
                .optional_numbers(calls, |call| call.record.ring.map(|span| span.0))
                .numbers(calls, |call| call.record.talk.0)
                .optional_numbers(calls, |call| call.record.total.map(|span| span.0))
                .texts(calls, |call| call.json());
        });
    }

    pub(super) fn upsert_open_states(&mut self, calls: &[&'v CallUpdate]) {
        self.add_cte("upsert_open_states", UPSERT_OPEN_STATES, |columns| {
            bind_state_columns(columns, calls);
        });
    }

    /// Closes the states that belong to sessions of other programs, and deletes the others.
    pub(super) fn close_states(&mut self, calls: &[&'v CallUpdate]) {
        self.add_cte("update_final_states", UPDATE_FINAL_STATES, |columns| {
            bind_state_columns(columns, calls);
        });
        self.add_cte("delete_final_states", DELETE_STATES, |columns| {
            columns.texts(calls, |call| call.record.id.to_string());
        });
    }

    pub(super) fn upsert_outcomes(&mut self, rows: &[(&'v CallRecord, OutcomeRow)]) {
        self.add_cte("upsert_outcomes", UPSERT_OUTCOMES, |columns| {
            columns
                .texts(rows, |(_, row)| outcome_name(row.outcome))
                .numbers(rows, |(_, row)| row.started_at.0)
                .uuids(rows, |(call, _)| uuid(call.id))
                .texts(rows, |(call, _)| call.site.as_str())
                .numbers(rows, |(_, row)| row.ended_at.0);
        });
    }

    pub(super) fn delete_outcomes(&mut self, rows: &[(CallId, OutcomeRow)]) {
        self.add_cte("delete_outcomes", DELETE_OUTCOMES, |columns| {
            columns
                .texts(rows, |(_, row)| outcome_name(row.outcome))
                .numbers(rows, |(_, row)| row.started_at.0)
                .uuids(rows, |(call, _)| uuid(*call));
        });
    }

    /// Upserts participants, each with its position within its call.
    pub(super) fn upsert_participants(
        &mut self,
        rows: &[(&'v CallRecord, usize, &'v Participant)],
    ) {
        self.add_cte("upsert_participants", UPSERT_PARTICIPANTS, |columns| {
            columns
                .uuids(rows, |(call, ..)| uuid(call.id))
                .places(rows, |(_, position, _)| *position)
                .texts(rows, |(call, ..)| call.site.as_str())
                .numbers(rows, |(call, ..)| call.started_at.0)
                .optional_texts(rows, |(.., participant)| {
                    participant.extension.as_ref().map(Extension::as_str)
                })
                .texts(rows, |(.., participant)| participant.device.to_string())
                .texts(rows, |(.., participant)| role_name(participant.role))
                .optional_numbers(rows, |(.., participant)| micros(participant.rang_at))
                .optional_numbers(rows, |(.., participant)| micros(participant.answered_at))
                .optional_numbers(rows, |(.., participant)| micros(participant.left_at))
                .texts(rows, |(.., participant)| {
                    participant_outcome_name(participant.outcome)
                })
                .optional_texts(rows, |(.., participant)| {
                    participant.call_ref.as_ref().map(CallRef::as_str)
                });
        });
    }

    /// Deletes the participants of calls beyond their present number.
    pub(super) fn delete_surplus_participants(&mut self, counts: &[(CallId, usize)]) {
        self.add_cte(
            "delete_surplus_participants",
            DELETE_SURPLUS_PARTICIPANTS,
            |columns| {
                columns
                    .uuids(counts, |(call, _)| uuid(*call))
                    .places(counts, |(_, participants)| *participants);
            },
        );
    }

    pub(super) fn upsert_links(&mut self, links: &[(CallId, &'v Link)]) {
        self.add_cte("upsert_links", UPSERT_LINKS, |columns| {
            columns
                .uuids(links, |(call, _)| uuid(*call))
                .uuids(links, |(_, link)| uuid(link.call))
                .texts(links, |(_, link)| link.kind.name())
                .texts(links, |(_, link)| link.confidence.name())
                .texts(links, |(_, link)| link.reason);
        });
    }

    /// Deletes the links of calls except the current ones and those made by hand. A call without a
    /// current link is given with `None`.
    pub(super) fn delete_stale_links(&mut self, current: &[(CallId, Option<&'v Link>)]) {
        self.add_cte("current_links", CURRENT_LINKS, |columns| {
            columns
                .uuids(current, |(call, _)| uuid(*call))
                .optional_uuids(current, |(_, link)| link.map(|link| uuid(link.call)))
                .optional_texts(current, |(_, link)| link.map(|link| link.kind.name()));
        });
        self.add_cte("delete_stale_links", DELETE_STALE_LINKS, |_| ());
    }

    pub(super) fn upsert_missed_calls(&mut self, records: &[&'v CallRecord]) {
        self.add_cte("upsert_missed_calls", UPSERT_MISSED_CALLS, |columns| {
            columns
                .uuids(records, |record| uuid(record.id))
                .texts(records, |record| record.site.as_str())
                .optional_texts(records, |record| record.from.number.as_deref())
                .optional_texts(records, |record| record.from.e164.as_deref())
                .texts(records, |record| sql::missed_extensions(record))
                .numbers(records, |record| sql::missed_at(record).0);
        });
    }

    pub(super) fn retract_missed_calls(&mut self, calls: &[CallId]) {
        self.add_cte("retract_missed_calls", RETRACT_MISSED_CALLS, |columns| {
            columns.uuids(calls, |call| uuid(*call));
        });
    }

    /// Deletes the logs and states of withdrawn calls. Their participants, outcomes, links and
    /// missed calls have CTEs of their own.
    pub(super) fn delete_withdrawn_calls(&mut self, calls: &[CallId]) {
        self.add_cte("delete_withdrawn_logs", DELETE_CALL_LOGS, |columns| {
            columns.uuids(calls, |call| uuid(*call));
        });
        self.add_cte("delete_withdrawn_states", DELETE_STATES, |columns| {
            columns.texts(calls, ToString::to_string);
        });
        self.add_cte(
            "close_withdrawn_states",
            CLOSE_WITHDRAWN_STATES,
            |columns| {
                columns.texts(calls, ToString::to_string);
            },
        );
    }

    pub(super) fn upsert_notifications(&mut self, notifications: &'v [Notification]) {
        self.add_cte("upsert_notifications", UPSERT_NOTIFICATIONS, |columns| {
            columns
                .numbers(notifications, |notification| {
                    notification.number.cast_signed()
                })
                .texts(notifications, |notification| notification.kind.name())
                .uuids(notifications, |notification| uuid(notification.call))
                .texts(notifications, |notification| &*notification.data);
        });
    }

    pub(super) fn delete_notifications_up_to(&mut self, number: i64) {
        self.add_cte("delete_notifications", DELETE_NOTIFICATIONS, |columns| {
            columns
                .numbers([number], |number| number)
                .numbers([sql::NOTIFICATIONS_STORED_UNSENT], |count| count);
        });
    }
}

fn bind_state_columns<'v>(columns: &mut Columns<'v>, calls: &[&'v CallUpdate]) {
    columns
        .uuids(calls, |call| uuid(call.record.id))
        .texts(calls, |call| call.record.site.as_str())
        .texts(calls, |call| direction_name(call.record.direction))
        .texts(calls, |call| status_name(call.record.status))
        .optional_texts(calls, |call| call.record.from.number.as_deref())
        .optional_texts(calls, |call| call.record.to.number.as_deref())
        .numbers(calls, |call| call.record.started_at.0)
        .optional_numbers(calls, |call| micros(call.record.ended_at));
}
