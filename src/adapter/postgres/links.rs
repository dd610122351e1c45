//! Links that people made or removed.

use sqlx::Row;

use super::PostgresLedger;
use crate::adapter::sql::links::implement_links;

/// Truth values in the database.
type Flag = i16;

implement_links!(PostgresLedger);
