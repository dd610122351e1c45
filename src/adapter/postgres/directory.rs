//! The directory: people and helplines.

use sqlx::Row;

use super::PostgresLedger;
use crate::adapter::sql::directory::implement_directory;

implement_directory!(PostgresLedger);
