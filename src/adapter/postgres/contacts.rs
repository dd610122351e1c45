//! Contacts and notes about callers.

use sqlx::postgres::PgRow;
use sqlx::{Connection, Row};

use super::PostgresLedger;
use super::time_limits::with_write_timeout;
use crate::adapter::sql::contacts::{implement_contacts, select_contacts_of_all, upsert_contacts};

select_contacts_of_all!(
    "json_to_recordset($1::json) AS wanted (site text, number text)
    JOIN contacts ON contacts.site = wanted.site
        AND contacts.number = wanted.number"
);

upsert_contacts!(
    "SELECT site, number, name, company, url
    FROM json_to_recordset($1::json)
        AS rows (site text, number text, name text, company text, url text)",
    key: "number || chr(31) || name",
);

/// Imports of one site wait for each other.
const LOCK_CONTACTS: &str = "-- lock_contacts_of_site
    SELECT pg_advisory_xact_lock(hashtextextended('contacts of ' || $1, 0))";

impl PostgresLedger {
    /// Stores contacts in place of all others of a site, in one transaction.
    async fn replace_contacts(&self, site: &str, rows: &str) -> Result<u64, LedgerError> {
        with_write_timeout(async move {
            let mut writer = self.writer.lease().await?;
            let mut transaction = writer.begin().await?;
            sqlx::query(LOCK_CONTACTS)
                .bind(site)
                .execute(&mut *transaction)
                .await?;
            let removed = sqlx::query(DELETE_OTHER_CONTACTS)
                .bind(rows)
                .bind(site)
                .execute(&mut *transaction)
                .await?;
            sqlx::query(UPSERT_CONTACTS)
                .bind(rows)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            writer.put_back();

            Ok(removed.rows_affected())
        })
        .await
    }
}

implement_contacts!(PostgresLedger, PgRow);
