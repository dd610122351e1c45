//! Transfers that other programs register.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::database::SqliteLedger;
use crate::adapter::sql::transfers::implement_transfers;

implement_transfers!(SqliteLedger, SqliteRow);
