//! Claims of ringing calls.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresLedger;
use crate::adapter::sql::claims::implement_claims;

implement_claims!(PostgresLedger, PgRow);
