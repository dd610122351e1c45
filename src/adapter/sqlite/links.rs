//! Links that people made or removed.

use sqlx::Row;

use super::database::SqliteLedger;
use crate::adapter::sql::links::implement_links;

/// Truth values in the database.
type Flag = i32;

implement_links!(SqliteLedger);
