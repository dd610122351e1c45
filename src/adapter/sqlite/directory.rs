//! The directory: people and helplines.

use sqlx::Row;

use super::database::SqliteLedger;
use crate::adapter::sql::directory::implement_directory;

implement_directory!(SqliteLedger);
