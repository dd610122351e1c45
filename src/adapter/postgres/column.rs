//! Columns of a statement that takes rows as one array per column.

/// The values of one column.
pub(super) fn column<T, V>(rows: impl IntoIterator<Item = T>, value: impl Fn(T) -> V) -> Vec<V> {
    rows.into_iter().map(value).collect()
}
