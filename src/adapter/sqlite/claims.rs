//! Claims of ringing calls.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::database::SqliteLedger;
use crate::adapter::sql::claims::implement_claims;

implement_claims!(SqliteLedger, SqliteRow);
