//! Transfers that other programs register.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresLedger;
use crate::adapter::sql::transfers::implement_transfers;

implement_transfers!(PostgresLedger, PgRow);
