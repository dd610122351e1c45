//! Requests that are carried out once.

use sqlx::Row;

use super::database::SqliteLedger;
use crate::adapter::sql::repeats::implement_repeats;

implement_repeats!(SqliteLedger);
