//! Contacts and notes about callers.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresLedger;
use crate::adapter::sql::contacts::{implement_contacts, select_contacts_of_all, upsert_contacts};

select_contacts_of_all!(
    "json_to_recordset($1::json) AS wanted (site text, number text)
    JOIN contacts ON contacts.site = wanted.site
        AND contacts.number = wanted.number"
);

upsert_contacts!(
    "SELECT site, number, name, company, url, $2::bigint
    FROM json_to_recordset($1::json)
        AS rows (site text, number text, name text, company text, url text)"
);

implement_contacts!(PostgresLedger, PgRow);
