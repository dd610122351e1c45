//! Contacts and notes about callers.

use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row};

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
        value->>'site' AS site,
        value->>'number' AS number,
        value->>'name' AS name,
        value->>'company',
        value->>'url'
    FROM json_each($1)
    WHERE true",
    // For a pair of columns SQLite would go through all rows again and again.
    key: "number || char(31) || name",
);

impl SqliteLedger {
    /// Stores contacts in place of all others of a site, in one transaction.
    async fn replace_contacts(&self, site: &str, rows: &str) -> Result<u64, LedgerError> {
        let mut writer = self.writer.lease().await?;
        let mut transaction = writer.begin().await?;
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
    }
}

implement_contacts!(SqliteLedger, SqliteRow);
