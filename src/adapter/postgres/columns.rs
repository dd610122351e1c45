//! What is written, as one array for each column: a whole batch is one statement.

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use uuid::Uuid;

use crate::adapter::sql;
use crate::domain::device::Extension;
use crate::domain::fact::{CallId, CallRef};
use crate::domain::number::Number;
use crate::domain::record::CallRecord;
use crate::domain::time::At;
use crate::port::fanout::News;
use crate::port::ledger::{Dead, Received};
use crate::wire::call_json::{CallJson, direction_name, outcome_name, participant_outcome_name, role_name, status_name};

type Statement<'q> = Query<'q, Postgres, PgArguments>;

pub(super) fn uuid(id: CallId) -> Uuid {
    Uuid::from_u128(id.0)
}

pub(super) fn uuids(ids: impl IntoIterator<Item = CallId>) -> Vec<Uuid> {
    ids.into_iter().map(uuid).collect()
}

/// The values of one column.
fn column<T, V>(rows: &[T], value: impl Fn(&T) -> V) -> Vec<V> {
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

/// The calls of a batch, with their records as text.
pub(super) struct Calls<'c> {
    pub of: &'c [&'c (CallRecord, bool)],
    pub texts: Vec<String>,
}

impl<'c> Calls<'c> {
    pub(super) fn new(of: &'c [&'c (CallRecord, bool)]) -> Calls<'c> {
        let text = |(record, _): &&(CallRecord, bool)| serde_json::to_string(&CallJson::of(record)).unwrap_or_default();
        Calls { of, texts: of.iter().map(text).collect() }
    }

    fn records<V>(&self, value: impl Fn(&'c CallRecord) -> V) -> Vec<V> {
        self.of.iter().map(|(record, _)| value(record)).collect()
    }

    fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
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
            .bind(self.of.iter().map(|(_, is_final)| *is_final).collect::<Vec<_>>())
            .bind(self.texts())
    }

    pub(super) fn states<'q>(&'q self, sql: &'static str, updated: At) -> Statement<'q> {
        sqlx::query(sql)
            .bind(self.records(|record| record.id.to_string()))
            .bind(self.records(|record| record.site.as_str()))
            .bind(self.records(|record| direction_name(record.direction)))
            .bind(self.records(|record| status_name(record.status)))
            .bind(self.records(|record| record.from.number.as_deref()))
            .bind(self.records(|record| record.to.number.as_deref()))
            .bind(self.texts())
            .bind(self.records(|record| record.started_at.0))
            .bind(self.records(|record| record.ended_at.map(|at| at.0)))
            .bind(self.of.iter().map(|(_, is_final)| *is_final).collect::<Vec<_>>())
            .bind(updated.0)
    }

    pub(super) fn participants<'q>(&'q self, sql: &'static str) -> Statement<'q> {
        let all: Vec<_> = self
            .of
            .iter()
            .flat_map(|(record, _)| record.participants.iter().enumerate().map(|(place, participant)| (record.id, place, participant)))
            .collect();
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
    }

    /// `None` when there are none.
    pub(super) fn links<'q>(&'q self, sql: &'static str) -> Option<Statement<'q>> {
        let all: Vec<_> = self.of.iter().flat_map(|(record, _)| record.links.iter().map(|link| (record.id, link))).collect();
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
    pub(super) fn missed<'q>(&'q self, sql: &'static str) -> Option<Statement<'q>> {
        let all: Vec<&CallRecord> = self.of.iter().map(|(record, _)| record).filter(|record| sql::is_missed(record)).collect();
        (!all.is_empty()).then(|| {
            sqlx::query(sql)
                .bind(column(&all, |record| uuid(record.id)))
                .bind(all.iter().map(|record| record.site.as_str()).collect::<Vec<_>>())
                .bind(all.iter().map(|record| record.from.number.as_deref()).collect::<Vec<_>>())
                .bind(all.iter().map(|record| record.from.e164.as_deref()).collect::<Vec<_>>())
                .bind(column(&all, |record| sql::missed_extensions(record)))
                .bind(column(&all, |record| sql::missed_at(record).0))
        })
    }
}
