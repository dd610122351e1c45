//! What is written, as one array for each column: a whole batch is one statement.

use std::collections::BTreeMap;

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use uuid::Uuid;

use crate::adapter::sql;
use crate::domain::device::{Device, Extension};
use crate::domain::fact::{CallId, CallRef, Site};
use crate::domain::number::Number;
use crate::domain::record::{CallRecord, Participant};
use crate::domain::time::At;
use crate::port::fanout::News;
use crate::port::ledger::{CallNow, Dead, Received};
use crate::wire::call_json::{direction_name, outcome_name, participant_outcome_name, role_name, status_name};

type Statement<'q> = Query<'q, Postgres, PgArguments>;

pub(super) fn uuid(id: CallId) -> Uuid {
    Uuid::from_u128(id.0)
}

pub(super) fn uuids(ids: impl IntoIterator<Item = CallId>) -> Vec<Uuid> {
    ids.into_iter().map(uuid).collect()
}

/// The values of one column.
fn column<'r, T, V>(rows: &'r [T], value: impl Fn(&'r T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

pub(super) fn events<'q>(sql: &'static str, facts: &'q [Received]) -> Statement<'q> {
    let text = |received: &'q Received| std::str::from_utf8(&received.message).unwrap_or_default();
    sqlx::query(sql)
        .bind(column(facts, |received| uuid(received.fact.id)))
        .bind(facts.iter().map(|received| received.fact.site.as_str()).collect::<Vec<_>>())
        .bind(column(facts, |received| received.fact.at.0))
        .bind(column(facts, |received| received.fact.kind.name()))
        .bind(column(facts, |received| received.fact.device.to_string()))
        .bind(facts.iter().map(|received| received.fact.local.as_ref().map(Extension::as_str)).collect::<Vec<_>>())
        .bind(facts.iter().map(|received| received.fact.remote.as_ref().map(Number::raw)).collect::<Vec<_>>())
        .bind(facts.iter().map(|received| received.fact.remote.as_ref().and_then(Number::e164)).collect::<Vec<_>>())
        .bind(facts.iter().map(|received| received.fact.call_ref.as_ref().map(CallRef::as_str)).collect::<Vec<_>>())
        .bind(facts.iter().map(text).collect::<Vec<_>>())
}

pub(super) fn sites<'q>(sql: &'static str, sites: &'q [(Site, At)]) -> Statement<'q> {
    sqlx::query(sql).bind(column(sites, |(site, _)| site.as_str())).bind(column(sites, |(_, first)| first.0))
}

pub(super) fn devices<'q>(sql: &'static str, devices: &'q BTreeMap<(Site, Device), At>) -> Statement<'q> {
    sqlx::query(sql)
        .bind(devices.keys().map(|(site, _)| site.as_str()).collect::<Vec<_>>())
        .bind(devices.keys().map(|(_, device)| device.to_string()).collect::<Vec<_>>())
        .bind(devices.values().map(|last| last.0).collect::<Vec<_>>())
}

pub(super) fn extensions<'q>(sql: &'static str, extensions: &'q BTreeMap<(Site, Extension), At>) -> Statement<'q> {
    sqlx::query(sql)
        .bind(extensions.keys().map(|(site, _)| site.as_str()).collect::<Vec<_>>())
        .bind(extensions.keys().map(|(_, extension)| extension.as_str()).collect::<Vec<_>>())
        .bind(extensions.values().map(|first| first.0).collect::<Vec<_>>())
}

pub(super) fn dead<'q>(sql: &'static str, dead: &'q [Dead]) -> Statement<'q> {
    sqlx::query(sql)
        .bind(column(dead, |dead| sql::digest(&dead.message)))
        .bind(dead.iter().map(|dead| dead.reason.as_str()).collect::<Vec<_>>())
        .bind(dead.iter().map(|dead| dead.message.as_slice()).collect::<Vec<_>>())
}

pub(super) fn news<'q>(sql: &'static str, part: &super::Part, news: &'q [News]) -> Statement<'q> {
    sqlx::query(sql)
        .bind(part.generation.cast_signed())
        .bind(part.number.cast_signed())
        .bind(column(news, |news| news.number.cast_signed()))
        .bind(column(news, |news| news.kind.name()))
        .bind(column(news, |news| uuid(news.call)))
        .bind(news.iter().map(|news| &*news.data).collect::<Vec<_>>())
}

/// The calls of a batch.
pub(super) struct Calls<'c>(pub &'c [&'c CallNow]);

impl<'c> Calls<'c> {
    fn records<V>(&self, value: impl Fn(&'c CallRecord) -> V) -> Vec<V> {
        self.0.iter().map(|call| value(&call.record)).collect()
    }

    pub(super) fn logs<'q>(&'q self, sql: &'static str) -> Statement<'q> {
        let micros = |at: Option<At>| at.map(|at| at.0);
        sqlx::query(sql)
            .bind(self.records(|record| uuid(record.id)))
            .bind(self.records(|record| record.site.as_str()))
            .bind(self.records(|record| direction_name(record.direction)))
            .bind(self.records(|record| status_name(record.status)))
            .bind(self.records(|record| record.outcome.map(outcome_name)))
            .bind(self.records(|record| record.from.number.as_deref()))
            .bind(self.records(|record| record.from.e164.as_deref()))
            .bind(self.records(|record| record.to.number.as_deref()))
            .bind(self.records(|record| record.to.e164.as_deref()))
            .bind(self.records(sql::answered_by))
            .bind(self.records(|record| record.started_at.0))
            .bind(self.records(|record| micros(record.answered_at)))
            .bind(self.records(|record| micros(record.ended_at)))
            .bind(self.records(|record| record.ring.map(|span| span.0)))
            .bind(self.records(|record| record.talk.0))
            .bind(self.records(|record| record.total.map(|span| span.0)))
            .bind(self.0.iter().map(|call| call.text()).collect::<Vec<_>>())
    }

    pub(super) fn states<'q>(&'q self, sql: &'static str, updated: At) -> Statement<'q> {
        sqlx::query(sql)
            .bind(self.records(|record| uuid(record.id)))
            .bind(self.records(|record| record.site.as_str()))
            .bind(self.records(|record| direction_name(record.direction)))
            .bind(self.records(|record| status_name(record.status)))
            .bind(self.records(|record| record.from.number.as_deref()))
            .bind(self.records(|record| record.to.number.as_deref()))
            .bind(self.records(|record| record.started_at.0))
            .bind(self.records(|record| record.ended_at.map(|at| at.0)))
            .bind(self.0.iter().map(|call| call.is_final).collect::<Vec<_>>())
            .bind(updated.0)
    }
}

/// Participants that do not stand as they are already; `None` when there are none.
pub(super) fn participants<'r>(
    sql: &'static str,
    of: &[&'r CallRecord],
    stands: impl Fn(CallId, usize) -> Option<&'r Participant>,
) -> Option<Statement<'r>> {
    let all = of.iter().flat_map(|record| record.participants.iter().enumerate().map(|(place, who)| (record.id, place, who)));
    let all: Vec<_> = all.filter(|(call, place, who)| stands(*call, *place) != Some(*who)).collect();
    (!all.is_empty()).then(|| {
        sqlx::query(sql)
            .bind(column(&all, |(call, ..)| uuid(*call)))
            .bind(column(&all, |(_, place, _)| i32::try_from(*place).unwrap_or(i32::MAX)))
            .bind(column(&all, |(.., who)| who.extension.as_ref().map(Extension::as_str)))
            .bind(column(&all, |(.., who)| who.device.to_string()))
            .bind(column(&all, |(.., who)| role_name(who.role)))
            .bind(column(&all, |(.., who)| who.rang_at.map(|at| at.0)))
            .bind(column(&all, |(.., who)| who.answered_at.map(|at| at.0)))
            .bind(column(&all, |(.., who)| who.left_at.map(|at| at.0)))
            .bind(column(&all, |(.., who)| participant_outcome_name(who.outcome)))
    })
}

pub(super) fn counts_of_participants<'q>(sql: &'static str, of: &[&CallRecord]) -> Statement<'q> {
    sqlx::query(sql)
        .bind(column(of, |record| uuid(record.id)))
        .bind(column(of, |record| i32::try_from(record.participants.len()).unwrap_or(i32::MAX)))
}

/// `None` when there are none.
pub(super) fn links<'r>(sql: &'static str, of: &[&'r CallRecord]) -> Option<Statement<'r>> {
    let all: Vec<_> = of.iter().flat_map(|record| record.links.iter().map(|link| (record.id, link))).collect();
    (!all.is_empty()).then(|| {
        sqlx::query(sql)
            .bind(column(&all, |(call, _)| uuid(*call)))
            .bind(column(&all, |(_, link)| uuid(link.call)))
            .bind(column(&all, |(_, link)| link.kind.name()))
            .bind(column(&all, |(_, link)| link.confidence.name()))
            .bind(column(&all, |(_, link)| link.reason))
    })
}

/// `None` when there are none.
pub(super) fn missed<'r>(sql: &'static str, of: &[&'r CallRecord]) -> Option<Statement<'r>> {
    let all: Vec<&'r CallRecord> = of.iter().copied().filter(|record| sql::is_missed(record)).collect();
    (!all.is_empty()).then(|| {
        sqlx::query(sql)
            .bind(column(&all, |record| uuid(record.id)))
            .bind(column(&all, |record| record.site.as_str()))
            .bind(column(&all, |record| record.from.number.as_deref()))
            .bind(column(&all, |record| record.from.e164.as_deref()))
            .bind(column(&all, |record| sql::missed_extensions(record)))
            .bind(column(&all, |record| sql::missed_at(record).0))
    })
}
