//! The directory: people and helplines.

use sqlx::Row;

use super::PostgresLedger;
use crate::adapter::sql::directory::{implement_directory, upserts};

upserts!(
    people: "SELECT site, extension, name
    FROM json_to_recordset($1::json) AS rows (site text, extension text, name text)",
    helplines: "SELECT site, number, name, members
    FROM json_to_recordset($1::json) AS rows (site text, number text, name text, members text)",
);

implement_directory!(PostgresLedger);
