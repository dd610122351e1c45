//! Contacts and notes about callers.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresLedger;
use crate::adapter::sql::contacts::{implement_contacts, upsert_contacts};

upsert_contacts!(
    "SELECT site, number, name, company, url, $2::bigint
    FROM json_to_recordset($1::json)
        AS rows (site text, number text, name text, company text, url text)"
);

implement_contacts!(PostgresLedger, PgRow);
