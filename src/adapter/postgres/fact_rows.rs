//! Rows of a batch for facts, their phones, and notifications: one array per column, one CTE of the
//! batch statement per table. `{rows}` stands for the rows, whose first column is the partition that
//! they belong to.

use std::collections::BTreeMap;

use super::column::uuid;
use super::statement::BatchStatement;
use crate::adapter::sql;
use crate::adapter::sql::devices::{DeviceRow, Mode};
use crate::domain::device::{Device, Extension};
use crate::domain::fact::{CallRef, Site};
use crate::domain::number::Number;
use crate::domain::time::At;
use crate::port::ledger::{ReceivedFact, RejectedMessage};
use crate::port::outbox::Notification;

impl<'v> BatchStatement<'v> {
    pub(super) fn insert_events(&mut self, facts: &'v [ReceivedFact]) {
        const INSERT_EVENTS: &str = "
    INSERT INTO call_events (
        event_id, site, received_at, event, device, extension, remote, remote_e164, call_ref,
        envelope
    )
    SELECT
        event_id, site, received_at, event, device, extension, remote, remote_e164, call_ref,
        envelope
    FROM fence
    JOIN {rows} AS t (
        part, event_id, site, received_at, event, device, extension, remote, remote_e164,
        call_ref, envelope
    ) USING (part)
    ON CONFLICT DO NOTHING";

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
        const INSERT_DEAD_EVENTS: &str = "
    INSERT INTO dead_events (digest, reason, message)
    SELECT digest, reason, message
    FROM fence
    JOIN {rows} AS t (part, digest, reason, message) USING (part)
    ON CONFLICT DO NOTHING";

        self.add_cte("insert_dead_events", INSERT_DEAD_EVENTS, |columns| {
            columns
                .texts(rejected, |message| sql::digest(&message.message))
                .texts(rejected, |message| message.reason.as_str())
                .bytes(rejected, |message| message.message.clone());
        });
    }

    pub(super) fn insert_sites(&mut self, sites: &[(Site, At)]) {
        const INSERT_SITES: &str = "
    INSERT INTO sites (site, first_seen)
    SELECT site, first_seen
    FROM fence
    JOIN {rows} AS t (part, site, first_seen) USING (part)
    ON CONFLICT DO NOTHING";

        self.add_cte("insert_sites", INSERT_SITES, |columns| {
            columns
                .texts(sites, |(site, _)| site.as_str().to_owned())
                .numbers(sites, |(_, first_seen)| first_seen.0);
        });
    }

    pub(super) fn upsert_devices(&mut self, devices: &BTreeMap<(Site, Device), DeviceRow>) {
        const UPSERT_DEVICES: &str = "
    INSERT INTO devices AS stored (
        site, device, last_seen, extension, model, firmware, state, state_since
    )
    SELECT site, device, last_seen, extension, model, firmware, state, state_since
    FROM fence
    JOIN {rows} AS t (
        part, site, device, last_seen, extension, model, firmware, state, state_since
    ) USING (part)
    ON CONFLICT (site, device) DO UPDATE
    SET last_seen = greatest(stored.last_seen, excluded.last_seen),
        extension = CASE WHEN excluded.last_seen >= stored.last_seen
            THEN coalesce(excluded.extension, stored.extension)
            ELSE coalesce(stored.extension, excluded.extension) END,
        model = CASE WHEN excluded.last_seen >= stored.last_seen
            THEN coalesce(excluded.model, stored.model)
            ELSE coalesce(stored.model, excluded.model) END,
        firmware = CASE WHEN excluded.last_seen >= stored.last_seen
            THEN coalesce(excluded.firmware, stored.firmware)
            ELSE coalesce(stored.firmware, excluded.firmware) END,
        state = CASE WHEN excluded.state_since >= coalesce(stored.state_since, 0)
            THEN excluded.state ELSE stored.state END,
        state_since = greatest(stored.state_since, excluded.state_since)
    WHERE excluded.last_seen > stored.last_seen
        OR excluded.state_since > coalesce(stored.state_since, 0)";

        self.add_cte("upsert_devices", UPSERT_DEVICES, |columns| {
            columns
                .texts(devices.keys(), |(site, _)| site.as_str().to_owned())
                .texts(devices.keys(), |(_, device)| device.to_string())
                .numbers(devices.values(), |row| row.last_seen.0)
                .optional_texts(devices.values(), |row| {
                    row.extension.as_ref().map(|own| own.as_str().to_owned())
                })
                .optional_texts(devices.values(), |row| {
                    row.model.as_deref().map(ToOwned::to_owned)
                })
                .optional_texts(devices.values(), |row| {
                    row.firmware.as_deref().map(ToOwned::to_owned)
                })
                .optional_texts(devices.values(), |row| row.mode.map(Mode::name))
                .optional_numbers(devices.values(), |row| row.mode.map(|mode| mode.since.0));
        });
    }

    pub(super) fn upsert_extensions(&mut self, extensions: &BTreeMap<(Site, Extension), At>) {
        const UPSERT_EXTENSIONS: &str = "
    INSERT INTO extensions AS stored (site, extension, first_report)
    SELECT site, extension, first_report
    FROM fence
    JOIN {rows} AS t (part, site, extension, first_report) USING (part)
    ON CONFLICT (site, extension) DO UPDATE
    SET first_report = excluded.first_report
    WHERE excluded.first_report < stored.first_report";

        self.add_cte("upsert_extensions", UPSERT_EXTENSIONS, |columns| {
            columns
                .texts(extensions.keys(), |(site, _)| site.as_str().to_owned())
                .texts(extensions.keys(), |(_, extension)| {
                    extension.as_str().to_owned()
                })
                .numbers(extensions.values(), |first_report| first_report.0);
        });
    }

    pub(super) fn upsert_notifications(&mut self, notifications: &'v [Notification]) {
        const UPSERT_NOTIFICATIONS: &str = "
    INSERT INTO notices (generation, part, number, kind, call_id, data)
    SELECT generation, part, number, kind, call_id, data
    FROM fence
    JOIN {rows} AS t (part, number, kind, call_id, data) USING (part)
    ON CONFLICT (generation, part, number) DO UPDATE
    SET kind = excluded.kind,
        call_id = excluded.call_id,
        data = excluded.data";

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
        const DELETE_NOTIFICATIONS: &str = "
    DELETE FROM notices
    USING fence
    JOIN {rows} AS t (part, last, unsent) USING (part)
    WHERE notices.generation = fence.generation
        AND notices.part = fence.part
        AND number <= CASE
            WHEN EXISTS (SELECT 1 FROM webhooks WHERE disabled IS NULL) THEN least(
                last,
                greatest(
                    last - unsent,
                    coalesce(
                        (
                            SELECT cursors.number
                            FROM webhook_cursors AS cursors
                            WHERE cursors.generation = fence.generation
                                AND cursors.part = fence.part
                        ),
                        0
                    )
                )
            )
            ELSE last
        END";

        self.add_cte("delete_notifications", DELETE_NOTIFICATIONS, |columns| {
            columns
                .numbers([number], |number| number)
                .numbers([sql::NOTIFICATIONS_STORED_UNSENT], |count| count);
        });
    }
}
