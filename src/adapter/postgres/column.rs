//! Columns of a statement that takes rows as one array per column.

use std::borrow::Cow;

use sqlx::QueryBuilder;
use sqlx::postgres::Postgres;
use uuid::Uuid;

use crate::domain::fact::CallId;

/// An id as PostgreSQL stores it.
pub(super) fn uuid(id: CallId) -> Uuid {
    Uuid::from_u128(id.0)
}

pub(super) fn uuids(ids: impl IntoIterator<Item = CallId>) -> Vec<Uuid> {
    column(ids, uuid)
}

/// The values of one column.
pub(super) fn column<T, V>(rows: impl IntoIterator<Item = T>, value: impl Fn(T) -> V) -> Vec<V> {
    rows.into_iter().map(value).collect()
}

/// The columns of the rows for one table, which are bound when the statement is built: the rows of
/// several batches may be joined before.
#[derive(Default)]
pub(super) struct Columns<'v>(Vec<Values<'v>>);

enum Values<'v> {
    Uuids(Vec<Option<Uuid>>),
    Texts(Vec<Option<Cow<'v, str>>>),
    Numbers(Vec<Option<i64>>),
    Places(Vec<i32>),
    Bytes(Vec<Vec<u8>>),
}

impl<'v> Columns<'v> {
    pub(super) fn uuids<T>(
        &mut self,
        rows: impl IntoIterator<Item = T>,
        value: impl Fn(T) -> Uuid,
    ) -> &mut Columns<'v> {
        self.optional_uuids(rows, |row| Some(value(row)))
    }

    pub(super) fn optional_uuids<T>(
        &mut self,
        rows: impl IntoIterator<Item = T>,
        value: impl Fn(T) -> Option<Uuid>,
    ) -> &mut Columns<'v> {
        self.add(Values::Uuids(column(rows, value)))
    }

    pub(super) fn texts<T, S: Into<Cow<'v, str>>>(
        &mut self,
        rows: impl IntoIterator<Item = T>,
        value: impl Fn(T) -> S,
    ) -> &mut Columns<'v> {
        self.optional_texts(rows, |row| Some(value(row)))
    }

    pub(super) fn optional_texts<T, S: Into<Cow<'v, str>>>(
        &mut self,
        rows: impl IntoIterator<Item = T>,
        value: impl Fn(T) -> Option<S>,
    ) -> &mut Columns<'v> {
        let texts = column(rows, |row| value(row).map(Into::into));

        self.add(Values::Texts(texts))
    }

    pub(super) fn numbers<T>(
        &mut self,
        rows: impl IntoIterator<Item = T>,
        value: impl Fn(T) -> i64,
    ) -> &mut Columns<'v> {
        self.optional_numbers(rows, |row| Some(value(row)))
    }

    pub(super) fn optional_numbers<T>(
        &mut self,
        rows: impl IntoIterator<Item = T>,
        value: impl Fn(T) -> Option<i64>,
    ) -> &mut Columns<'v> {
        self.add(Values::Numbers(column(rows, value)))
    }

    /// Positions within a call, and their counts.
    pub(super) fn places<T>(
        &mut self,
        rows: impl IntoIterator<Item = T>,
        value: impl Fn(T) -> usize,
    ) -> &mut Columns<'v> {
        let place = |row| i32::try_from(value(row)).unwrap_or(i32::MAX);

        self.add(Values::Places(column(rows, place)))
    }

    pub(super) fn bytes<T>(
        &mut self,
        rows: impl IntoIterator<Item = T>,
        value: impl Fn(T) -> Vec<u8>,
    ) -> &mut Columns<'v> {
        self.add(Values::Bytes(column(rows, value)))
    }

    fn add(&mut self, values: Values<'v>) -> &mut Columns<'v> {
        self.0.push(values);

        self
    }

    pub(super) fn rows(&self) -> usize {
        self.0.first().map_or(0, Values::len)
    }

    /// Adds the rows of another batch for the same table.
    pub(super) fn append<'o: 'v>(&mut self, other: &'o Columns<'_>) {
        if self.0.is_empty() {
            self.0 = other.0.iter().map(Values::empty_like).collect();
        }

        for (values, more) in self.0.iter_mut().zip(&other.0) {
            values.append(more);
        }
    }

    pub(super) fn into_owned(self) -> Columns<'static> {
        Columns(self.0.into_iter().map(Values::into_owned).collect())
    }

    /// Binds one array per column.
    pub(super) fn bind(&self, query: &mut QueryBuilder<Postgres>) {
        for (index, values) in self.0.iter().enumerate() {
            if index > 0 {
                query.push(", ");
            }
            values.bind(query);
        }
    }
}

impl<'v> Values<'v> {
    fn len(&self) -> usize {
        match self {
            Values::Uuids(values) => values.len(),
            Values::Texts(values) => values.len(),
            Values::Numbers(values) => values.len(),
            Values::Places(values) => values.len(),
            Values::Bytes(values) => values.len(),
        }
    }

    fn empty_like(other: &Values<'_>) -> Values<'v> {
        match other {
            Values::Uuids(_) => Values::Uuids(Vec::new()),
            Values::Texts(_) => Values::Texts(Vec::new()),
            Values::Numbers(_) => Values::Numbers(Vec::new()),
            Values::Places(_) => Values::Places(Vec::new()),
            Values::Bytes(_) => Values::Bytes(Vec::new()),
        }
    }

    fn append<'o: 'v>(&mut self, other: &'o Values<'_>) {
        match (self, other) {
            (Values::Uuids(values), Values::Uuids(more)) => values.extend(more),
            (Values::Texts(values), Values::Texts(more)) => {
                let more = more.iter().map(Option::as_deref);
                values.extend(more.map(|text| text.map(Cow::Borrowed)));
            }
            (Values::Numbers(values), Values::Numbers(more)) => values.extend(more),
            (Values::Places(values), Values::Places(more)) => values.extend(more),
            (Values::Bytes(values), Values::Bytes(more)) => values.extend_from_slice(more),
            // One table has the same columns in every batch.
            _ => {}
        }
    }

    fn into_owned(self) -> Values<'static> {
        match self {
            Values::Uuids(values) => Values::Uuids(values),
            Values::Texts(values) => {
                let owned = |text: Cow<'v, str>| Cow::Owned(text.into_owned());
                Values::Texts(column(values, |text| text.map(owned)))
            }
            Values::Numbers(values) => Values::Numbers(values),
            Values::Places(values) => Values::Places(values),
            Values::Bytes(values) => Values::Bytes(values),
        }
    }

    fn bind(&self, query: &mut QueryBuilder<Postgres>) {
        match self {
            Values::Uuids(values) => query.push_bind(values),
            Values::Texts(values) => query.push_bind(values),
            Values::Numbers(values) => query.push_bind(values),
            Values::Places(values) => query.push_bind(values),
            Values::Bytes(values) => query.push_bind(values),
        };
    }
}
