//! Windows of agents.

use sqlx::Row;

use super::database::SqliteLedger;
use crate::adapter::sql::windows::{implement_windows, upsert_windows};

upsert_windows!(
    "(SELECT value->>'site' AS site, value->>'extension' AS extension FROM json_each($3))"
);

implement_windows!(SqliteLedger);
