//! The directory: people and helplines.

use sqlx::Row;

use super::database::SqliteLedger;
use crate::adapter::sql::directory::{implement_directory, upserts};

// Without a condition, ON CONFLICT would be read as one of a join.
upserts!(
    people: "SELECT value->>'site', value->>'extension', value->>'name'
    FROM json_each($1)
    WHERE true",
    helplines: "SELECT value->>'site', value->>'number', value->>'name', value->>'members'
    FROM json_each($1)
    WHERE true",
);

implement_directory!(SqliteLedger);
