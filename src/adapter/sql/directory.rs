//! The directory on either database: the statements are the same in both dialects.

pub(in crate::adapter) const SELECT_PEOPLE: &str = "-- select_people
    SELECT site, extension, name
    FROM people
    WHERE ($1 = '' OR site = $1)
    ORDER BY site, extension
    LIMIT 10000";

pub(in crate::adapter) const SELECT_HELPLINES: &str = "-- select_helplines
    SELECT site, number, name, members
    FROM helplines
    WHERE ($1 = '' OR site = $1)
    ORDER BY site, number
    LIMIT 10000";

/// Stores people and helplines, each in one statement: an import that breaks off leaves no part of
/// either. `people` and `helplines` read the rows from a document.
macro_rules! upserts {
    (people: $people:literal, helplines: $helplines:literal $(,)?) => {
        const UPSERT_PEOPLE: &str = concat!(
            "-- upsert_people
    INSERT INTO people (site, extension, name)
    ",
            $people,
            "
    ON CONFLICT (site, extension) DO UPDATE
    SET name = excluded.name"
        );

        const UPSERT_HELPLINES: &str = concat!(
            "-- upsert_helplines
    INSERT INTO helplines (site, number, name, members)
    ",
            $helplines,
            "
    ON CONFLICT (site, number) DO UPDATE
    SET name = excluded.name,
        members = excluded.members"
        );
    };
}
pub(in crate::adapter) use upserts;

pub(in crate::adapter) const DELETE_PERSON: &str = "-- delete_person
    DELETE FROM people
    WHERE site = $1
        AND extension = $2";

pub(in crate::adapter) const DELETE_HELPLINE: &str = "-- delete_helpline
    DELETE FROM helplines
    WHERE site = $1
        AND number = $2";

pub(in crate::adapter) const SELECT_PAUSES: &str = "-- select_agent_pauses
    SELECT site, extension, reason, since
    FROM agent_pauses
    WHERE ($1 = '' OR site = $1)
    LIMIT 10000";

pub(in crate::adapter) const UPSERT_PAUSE: &str = "-- upsert_agent_pause
    INSERT INTO agent_pauses (site, extension, reason, since)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (site, extension) DO UPDATE
    SET reason = excluded.reason,
        since = excluded.since";

pub(in crate::adapter) const DELETE_PAUSE: &str = "-- delete_agent_pause
    DELETE FROM agent_pauses
    WHERE site = $1
        AND extension = $2";

/// Implements [`Directory`](crate::port::directory::Directory) for a ledger of this database.
macro_rules! implement_directory {
    ($ledger:ty) => {
        use std::collections::BTreeMap;

        use $crate::adapter::sql::directory as statements;
        use $crate::domain::time::At;
        use $crate::port::directory::{Directory, Entry, Helpline, Pause, Person};
        use $crate::port::ledger::LedgerError;

        #[async_trait::async_trait]
        impl Directory for $ledger {
            async fn people(&self, site: Option<&str>) -> Result<Vec<Person>, LedgerError> {
                let select = sqlx::query(statements::SELECT_PEOPLE).bind(site.unwrap_or_default());
                let rows = self.select(select).await?;

                let people = rows.iter().map(|row| Person {
                    site: row.get(0),
                    extension: row.get(1),
                    name: row.get::<&str, _>(2).into(),
                });
                Ok(people.collect())
            }

            async fn helplines(&self, site: Option<&str>) -> Result<Vec<Helpline>, LedgerError> {
                let select =
                    sqlx::query(statements::SELECT_HELPLINES).bind(site.unwrap_or_default());
                let rows = self.select(select).await?;

                let helplines = rows.iter().map(|row| Helpline {
                    site: row.get(0),
                    number: row.get(1),
                    name: row.get(2),
                    members: serde_json::from_str(row.get(3)).unwrap_or_default(),
                });
                Ok(helplines.collect())
            }

            async fn put(&self, entries: &[Entry]) -> Result<(), LedgerError> {
                // The last one of a number counts; a statement writes no row twice.
                let mut people = BTreeMap::new();
                let mut helplines = BTreeMap::new();
                for entry in entries {
                    match entry {
                        Entry::Person(person) => people.insert(
                            (&person.site, &person.extension),
                            serde_json::json!({
                                "site": person.site,
                                "extension": person.extension,
                                "name": &*person.name,
                            }),
                        ),
                        Entry::Helpline(helpline) => helplines.insert(
                            (&helpline.site, &helpline.number),
                            serde_json::json!({
                                "site": helpline.site,
                                "number": helpline.number,
                                "name": helpline.name,
                                "members": serde_json::json!(helpline.members).to_string(),
                            }),
                        ),
                    };
                }

                for (upsert, rows) in [(UPSERT_PEOPLE, people), (UPSERT_HELPLINES, helplines)] {
                    if !rows.is_empty() {
                        let rows = serde_json::Value::from_iter(rows.into_values());
                        self.execute(sqlx::query(upsert).bind(rows.to_string()))
                            .await?;
                    }
                }
                Ok(())
            }

            async fn remove_person(
                &self,
                site: &str,
                extension: &str,
            ) -> Result<bool, LedgerError> {
                let delete = sqlx::query(statements::DELETE_PERSON)
                    .bind(site)
                    .bind(extension);
                let is_removed = self.execute(delete).await? > 0;
                if is_removed {
                    self.end_pause(site, extension).await?;
                }

                Ok(is_removed)
            }

            async fn remove_helpline(&self, site: &str, number: &str) -> Result<bool, LedgerError> {
                let delete = sqlx::query(statements::DELETE_HELPLINE)
                    .bind(site)
                    .bind(number);

                Ok(self.execute(delete).await? > 0)
            }

            async fn pauses(&self, site: Option<&str>) -> Result<Vec<Pause>, LedgerError> {
                let select = sqlx::query(statements::SELECT_PAUSES).bind(site.unwrap_or_default());
                let rows = self.select(select).await?;

                let pauses = rows.iter().map(|row| Pause {
                    site: row.get(0),
                    extension: row.get(1),
                    reason: row.get(2),
                    since: At(row.get(3)),
                });
                Ok(pauses.collect())
            }

            async fn pause(&self, pause: &Pause) -> Result<(), LedgerError> {
                let upsert = sqlx::query(statements::UPSERT_PAUSE)
                    .bind(&pause.site)
                    .bind(&pause.extension)
                    .bind(pause.reason.as_deref())
                    .bind(pause.since.0);
                self.execute(upsert).await?;

                Ok(())
            }

            async fn end_pause(&self, site: &str, extension: &str) -> Result<(), LedgerError> {
                let delete = sqlx::query(statements::DELETE_PAUSE)
                    .bind(site)
                    .bind(extension);
                self.execute(delete).await?;

                Ok(())
            }
        }
    };
}
pub(in crate::adapter) use implement_directory;
