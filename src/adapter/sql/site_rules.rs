//! Rules of sites on either database: the statements are the same in both dialects.

pub(in crate::adapter) const SELECT_RULES: &str = "-- select_site_rules
    SELECT site, rules, changed_by, changed_at
    FROM site_rules
    ORDER BY site";

pub(in crate::adapter) const UPSERT_RULES: &str = "-- upsert_site_rules
    INSERT INTO site_rules (site, rules, changed_by, changed_at)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (site) DO UPDATE
    SET rules = excluded.rules,
        changed_by = excluded.changed_by,
        changed_at = excluded.changed_at";

pub(in crate::adapter) const DELETE_RULES: &str = "-- delete_site_rules
    DELETE FROM site_rules
    WHERE site = $1";

/// Implements [`SiteRules`](crate::port::site_rules::SiteRules) for a ledger of this database.
macro_rules! implement_site_rules {
    ($ledger:ty) => {
        use $crate::adapter::sql::site_rules as statements;
        use $crate::domain::time::At;
        use $crate::port::ledger::LedgerError;
        use $crate::port::site_rules::{SiteRules, StoredRules};

        #[async_trait::async_trait]
        impl SiteRules for $ledger {
            async fn rules(&self) -> Result<Vec<StoredRules>, LedgerError> {
                let select = sqlx::query(statements::SELECT_RULES);
                let rows = self.select(select).await?.into_iter();

                Ok(rows
                    .map(|row| StoredRules {
                        site: row.get(0),
                        rules: row.get(1),
                        changed_by: row.get(2),
                        changed_at: At(row.get(3)),
                    })
                    .collect())
            }

            async fn set_rules(&self, rules: &StoredRules) -> Result<(), LedgerError> {
                let upsert = sqlx::query(statements::UPSERT_RULES)
                    .bind(&rules.site)
                    .bind(&rules.rules)
                    .bind(&rules.changed_by)
                    .bind(rules.changed_at.0);

                self.execute(upsert).await.map(drop)
            }

            async fn remove_rules(&self, site: &str) -> Result<bool, LedgerError> {
                let delete = sqlx::query(statements::DELETE_RULES).bind(site);

                Ok(self.execute(delete).await? > 0)
            }
        }
    };
}
pub(in crate::adapter) use implement_site_rules;
