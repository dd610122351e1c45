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
use super::column::column;
use super::statement::{BatchStatement, Columns};
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

impl BatchStatement {
    pub(super) fn insert_events(&mut self, facts: &[ReceivedFact]) {
        self.add_cte("insert_events", INSERT_EVENTS, |columns| {
            columns
                .push_bind(column(facts, |received| uuid(received.fact.id)))
                .push_bind(column(facts, |received| received.fact.site.as_str()))
                .push_bind(column(facts, |received| received.fact.at.0))
                .push_bind(column(facts, |received| received.fact.kind.name()))
                .push_bind(column(facts, |received| received.fact.device.to_string()))
                .push_bind(column(facts, |received| {
                    received.fact.local.as_ref().map(Extension::as_str)
                }))
                .push_bind(column(facts, |received| {
                    received.fact.remote.as_ref().map(Number::raw)
                }))
                .push_bind(column(facts, |received| {
                    received.fact.remote.as_ref().and_then(Number::e164)
                }))
                .push_bind(column(facts, |received| {
                    received.fact.call_ref.as_ref().map(CallRef::as_str)
                }))
                .push_bind(column(facts, |received| {
                    std::str::from_utf8(&received.message).unwrap_or_default()
                }));
        });
    }

    pub(super) fn insert_dead_events(&mut self, rejected: &[RejectedMessage]) {
        self.add_cte("insert_dead_events", INSERT_DEAD_EVENTS, |columns| {
            columns
                .push_bind(column(rejected, |message| sql::digest(&message.message)))
                .push_bind(column(rejected, |message| message.reason.as_str()))
                .push_bind(column(rejected, |message| message.message.as_slice()));
        });
    }

    pub(super) fn insert_sites(&mut self, sites: &[(Site, At)]) {
        self.add_cte("insert_sites", INSERT_SITES, |columns| {
            columns
                .push_bind(column(sites, |(site, _)| site.as_str()))
                .push_bind(column(sites, |(_, first_seen)| first_seen.0));
        });
    }

    pub(super) fn upsert_devices(&mut self, devices: &BTreeMap<(Site, Device), At>) {
        self.add_cte("upsert_devices", UPSERT_DEVICES, |columns| {
            columns
                .push_bind(column(devices.keys(), |(site, _)| site.as_str()))
                .push_bind(column(devices.keys(), |(_, device)| device.to_string()))
                .push_bind(column(devices.values(), |last_seen| last_seen.0));
        });
    }

    pub(super) fn upsert_extensions(&mut self, extensions: &BTreeMap<(Site, Extension), At>) {
        self.add_cte("upsert_extensions", UPSERT_EXTENSIONS, |columns| {
            columns
                .push_bind(column(extensions.keys(), |(site, _)| site.as_str()))
                .push_bind(column(extensions.keys(), |(_, extension)| {
                    extension.as_str()
                }))
                .push_bind(column(extensions.values(), |first_report| first_report.0));
        });
    }

    pub(super) fn upsert_call_logs(&mut self, calls: &[&CallUpdate]) {
        self.add_cte("upsert_call_logs", UPSERT_CALL_LOGS, |columns| {
            columns
                .push_bind(column(calls, |call| uuid(call.record.id)))
                .push_bind(column(calls, |call| call.record.site.as_str()))
                .push_bind(column(calls, |call| direction_name(call.record.direction)))
                .push_bind(column(calls, |call| status_name(call.record.status)))
                .push_bind(column(calls, |call| call.record.outcome.map(outcome_name)))
                .push_bind(column(calls, |call| call.record.from.number.as_deref()))
                .push_bind(column(calls, |call| call.record.from.e164.as_deref()))
                .push_bind(column(calls, |call| call.record.to.number.as_deref()))
                .push_bind(column(calls, |call| call.record.to.e164.as_deref()))
                .push_bind(column(calls, |call| sql::answered_by(&call.record)))
                .push_bind(column(calls, |call| call.record.started_at.0))
                .push_bind(column(calls, |call| micros(call.record.answered_at)))
                .push_bind(column(calls, |call| micros(call.record.ended_at)))
                .push_bind(column(calls, |call| call.record.ring.map(|span| span.0)))
                .push_bind(column(calls, |call| call.record.talk.0))
                .push_bind(column(calls, |call| call.record.total.map(|span| span.0)))
                .push_bind(column(calls, |call| call.json()));
        });
    }

    pub(super) fn upsert_open_states(&mut self, calls: &[&CallUpdate]) {
        self.add_cte("upsert_open_states", UPSERT_OPEN_STATES, |columns| {
            bind_state_columns(columns, calls);
        });
    }

    /// Closes the states that belong to sessions of other programs, and deletes the others.
    pub(super) fn close_states(&mut self, calls: &[&CallUpdate]) {
        self.add_cte("update_final_states", UPDATE_FINAL_STATES, |columns| {
            bind_state_columns(columns, calls);
        });
        self.add_cte("delete_final_states", DELETE_STATES, |columns| {
            columns.push_bind(column(calls, |call| call.record.id.to_string()));
        });
    }

    pub(super) fn upsert_outcomes(&mut self, rows: &[(&CallRecord, OutcomeRow)]) {
        self.add_cte("upsert_outcomes", UPSERT_OUTCOMES, |columns| {
            columns
                .push_bind(column(rows, |(_, row)| outcome_name(row.outcome)))
                .push_bind(column(rows, |(_, row)| row.started_at.0))
                .push_bind(column(rows, |(call, _)| uuid(call.id)))
                .push_bind(column(rows, |(call, _)| call.site.as_str()))
                .push_bind(column(rows, |(_, row)| row.ended_at.0));
        });
    }

    pub(super) fn delete_outcomes(&mut self, rows: &[(CallId, OutcomeRow)]) {
        self.add_cte("delete_outcomes", DELETE_OUTCOMES, |columns| {
            columns
                .push_bind(column(rows, |(_, row)| outcome_name(row.outcome)))
                .push_bind(column(rows, |(_, row)| row.started_at.0))
                .push_bind(column(rows, |(call, _)| uuid(*call)));
        });
    }

    /// Upserts participants, each with its position within its call.
    pub(super) fn upsert_participants(&mut self, rows: &[(&CallRecord, usize, &Participant)]) {
        self.add_cte("upsert_participants", UPSERT_PARTICIPANTS, |columns| {
            columns
                .push_bind(column(rows, |(call, ..)| uuid(call.id)))
                .push_bind(column(rows, |(_, position, _)| {
                    i32::try_from(*position).unwrap_or(i32::MAX)
                }))
                .push_bind(column(rows, |(call, ..)| call.site.as_str()))
                .push_bind(column(rows, |(call, ..)| call.started_at.0))
                .push_bind(column(rows, |(.., participant)| {
                    participant.extension.as_ref().map(Extension::as_str)
                }))
                .push_bind(column(rows, |(.., participant)| {
                    participant.device.to_string()
                }))
                .push_bind(column(rows, |(.., participant)| {
                    role_name(participant.role)
                }))
                .push_bind(column(rows, |(.., participant)| {
                    micros(participant.rang_at)
                }))
                .push_bind(column(rows, |(.., participant)| {
                    micros(participant.answered_at)
                }))
                .push_bind(column(rows, |(.., participant)| {
                    micros(participant.left_at)
                }))
                .push_bind(column(rows, |(.., participant)| {
                    participant_outcome_name(participant.outcome)
                }))
                .push_bind(column(rows, |(.., participant)| {
                    participant.call_ref.as_ref().map(CallRef::as_str)
                }));
        });
    }

    /// Deletes the participants of calls beyond their present number.
    pub(super) fn delete_surplus_participants(&mut self, counts: &[(CallId, usize)]) {
        self.add_cte(
            "delete_surplus_participants",
            DELETE_SURPLUS_PARTICIPANTS,
            |columns| {
                columns
                    .push_bind(column(counts, |(call, _)| uuid(*call)))
                    .push_bind(column(counts, |(_, participants)| {
                        i32::try_from(*participants).unwrap_or(i32::MAX)
                    }));
            },
        );
    }

    pub(super) fn upsert_links(&mut self, links: &[(CallId, &Link)]) {
        self.add_cte("upsert_links", UPSERT_LINKS, |columns| {
            columns
                .push_bind(column(links, |(call, _)| uuid(*call)))
                .push_bind(column(links, |(_, link)| uuid(link.call)))
                .push_bind(column(links, |(_, link)| link.kind.name()))
                .push_bind(column(links, |(_, link)| link.confidence.name()))
                .push_bind(column(links, |(_, link)| link.reason));
        });
    }

    /// Deletes the links of calls except the current ones and those made by hand. A call without a
    /// current link is given with `None`.
    pub(super) fn delete_stale_links(&mut self, current: &[(CallId, Option<&Link>)]) {
        self.add_cte("current_links", CURRENT_LINKS, |columns| {
            columns
                .push_bind(column(current, |(call, _)| uuid(*call)))
                .push_bind(column(current, |(_, link)| {
                    link.map(|link| uuid(link.call))
                }))
                .push_bind(column(current, |(_, link)| {
                    link.map(|link| link.kind.name())
                }));
        });
        self.add_cte("delete_stale_links", DELETE_STALE_LINKS, |_| ());
    }

    pub(super) fn upsert_missed_calls(&mut self, records: &[&CallRecord]) {
        self.add_cte("upsert_missed_calls", UPSERT_MISSED_CALLS, |columns| {
            columns
                .push_bind(column(records, |record| uuid(record.id)))
                .push_bind(column(records, |record| record.site.as_str()))
                .push_bind(column(records, |record| record.from.number.as_deref()))
                .push_bind(column(records, |record| record.from.e164.as_deref()))
                .push_bind(column(records, |record| sql::missed_extensions(record)))
                .push_bind(column(records, |record| sql::missed_at(record).0));
        });
    }

    pub(super) fn retract_missed_calls(&mut self, calls: &[CallId]) {
        self.add_cte("retract_missed_calls", RETRACT_MISSED_CALLS, |columns| {
            columns.push_bind(column(calls, |call| uuid(*call)));
        });
    }

    /// Deletes the logs and states of withdrawn calls. Their participants, outcomes, links and
    /// missed calls have CTEs of their own.
    pub(super) fn delete_withdrawn_calls(&mut self, calls: &[CallId]) {
        self.add_cte("delete_withdrawn_logs", DELETE_CALL_LOGS, |columns| {
            columns.push_bind(column(calls, |call| uuid(*call)));
        });
        self.add_cte("delete_withdrawn_states", DELETE_STATES, |columns| {
            columns.push_bind(column(calls, ToString::to_string));
        });
        self.add_cte(
            "close_withdrawn_states",
            CLOSE_WITHDRAWN_STATES,
            |columns| {
                columns.push_bind(column(calls, ToString::to_string));
            },
        );
    }

    pub(super) fn upsert_notifications(&mut self, notifications: &[Notification]) {
        self.add_cte("upsert_notifications", UPSERT_NOTIFICATIONS, |columns| {
            columns
                .push_bind(column(notifications, |notification| {
                    notification.number.cast_signed()
                }))
                .push_bind(column(notifications, |notification| {
                    notification.kind.name()
                }))
                .push_bind(column(notifications, |notification| {
                    uuid(notification.call)
                }))
                .push_bind(column(notifications, |notification| &*notification.data));
        });
    }

    pub(super) fn delete_notifications_up_to(&mut self, number: i64) {
        self.add_cte("delete_notifications", DELETE_NOTIFICATIONS, |columns| {
            columns
                .push_bind(vec![number])
                .push_bind(vec![sql::NOTIFICATIONS_STORED_UNSENT]);
        });
    }
}

fn bind_state_columns(columns: &mut Columns<'_>, calls: &[&CallUpdate]) {
    columns
        .push_bind(column(calls, |call| uuid(call.record.id)))
        .push_bind(column(calls, |call| call.record.site.as_str()))
        .push_bind(column(calls, |call| direction_name(call.record.direction)))
        .push_bind(column(calls, |call| status_name(call.record.status)))
        .push_bind(column(calls, |call| call.record.from.number.as_deref()))
        .push_bind(column(calls, |call| call.record.to.number.as_deref()))
        .push_bind(column(calls, |call| call.record.started_at.0))
        .push_bind(column(calls, |call| micros(call.record.ended_at)));
}
