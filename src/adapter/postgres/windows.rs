//! Windows of agents.

use sqlx::Row;

use super::PostgresLedger;
use crate::adapter::sql::windows::{implement_windows, upsert_windows};

upsert_windows!("json_to_recordset($3::json) AS lines (site text, extension text)");

implement_windows!(PostgresLedger);
