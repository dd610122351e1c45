//! Requests that are carried out once.

use sqlx::Row;

use super::PostgresLedger;
use crate::adapter::sql::repeats::implement_repeats;

implement_repeats!(PostgresLedger);
