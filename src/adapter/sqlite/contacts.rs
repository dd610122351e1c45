//! Contacts and notes about callers.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::database::SqliteLedger;
use crate::adapter::sql::contacts::{implement_contacts, select_contacts_of_all, upsert_contacts};

select_contacts_of_all!(
    "json_each($1) AS wanted
    JOIN contacts ON contacts.site = wanted.value->>'site'
        AND contacts.number = wanted.value->>'number'"
);

// Without a condition, ON CONFLICT would be read as one of a join.
upsert_contacts!(
    "SELECT
        value->>'site',
        value->>'number',
        value->>'name',
        value->>'company',
        value->>'url',
        $2
    FROM json_each($1)
    WHERE true"
);

implement_contacts!(SqliteLedger, SqliteRow);
