//! Contacts and notes about callers on either database: but for the rows of an import, the
//! statements are the same in both dialects.

pub(in crate::adapter) const SELECT_CONTACTS_OF: &str = "-- select_contacts_of_number
    SELECT site, number, name, company, url
    FROM contacts
    WHERE site = $1
        AND number = $2
    ORDER BY name
    LIMIT $3";

/// The literal reads site and number from the document `$1`. A number in the wrong file may have very
/// many contacts.
macro_rules! select_contacts_of_all {
    ($wanted:literal) => {
        const SELECT_CONTACTS_OF_ALL: &str = concat!(
            "-- select_contacts_of_numbers
    SELECT contacts.site, contacts.number, name, company, url
    FROM ",
            $wanted,
            "
    ORDER BY name
    LIMIT 5000"
        );
    };
}
pub(in crate::adapter) use select_contacts_of_all;

/// `$2` is a fragment as a pattern, or empty.
pub(in crate::adapter) const SELECT_CONTACTS: &str = r"-- select_contacts
    SELECT site, number, name, company, url
    FROM contacts
    WHERE ($1 = '' OR site = $1)
        AND (
            $2 = ''
            OR lower(name) LIKE lower($2) ESCAPE '\'
            OR lower(company) LIKE lower($2) ESCAPE '\'
            OR number LIKE $2 ESCAPE '\'
        )
    ORDER BY site, name, number
    LIMIT $3 OFFSET $4";

/// Stores contacts in one statement: an import that breaks off leaves none. The literal reads the
/// rows from the document `$1`. Contacts of the site `$2` that are not in it are removed; `key` tells
/// them apart in one column.
macro_rules! upsert_contacts {
    ($rows:literal, key: $key:literal $(,)?) => {
        const UPSERT_CONTACTS: &str = concat!(
            "-- upsert_contacts
    INSERT INTO contacts (site, number, name, company, url)
    ",
            $rows,
            "
    ON CONFLICT (site, number, name) DO UPDATE
    SET company = excluded.company,
        url = excluded.url"
        );

        const DELETE_OTHER_CONTACTS: &str = concat!(
            "-- delete_other_contacts
    DELETE FROM contacts
    WHERE site = $2
        AND ",
            $key,
            " NOT IN (
            SELECT ",
            $key,
            "
            FROM (",
            $rows,
            ") AS kept
            WHERE kept.site = $2
        )"
        );
    };
}
pub(in crate::adapter) use upsert_contacts;

pub(in crate::adapter) const DELETE_CONTACTS: &str = "-- delete_contacts_of_number
    DELETE FROM contacts
    WHERE site = $1
        AND number = $2
        AND ($3 = '' OR name = $3)";

pub(in crate::adapter) const SELECT_NOTE: &str = "-- select_caller_note
    SELECT note, written_by, written_at
    FROM caller_notes
    WHERE site = $1
        AND number = $2";

pub(in crate::adapter) const UPSERT_NOTE: &str = "-- upsert_caller_note
    INSERT INTO caller_notes (site, number, note, written_by, written_at)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (site, number) DO UPDATE
    SET note = excluded.note,
        written_by = excluded.written_by,
        written_at = excluded.written_at";

pub(in crate::adapter) const DELETE_NOTE: &str = "-- delete_caller_note
    DELETE FROM caller_notes
    WHERE site = $1
        AND number = $2";

/// A fragment as a pattern of `LIKE`.
pub(in crate::adapter) fn pattern(fragment: &str) -> String {
    let mut pattern = String::from("%");
    for char in fragment.chars() {
        if matches!(char, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern.push('%');

    pattern
}

/// Implements [`Contacts`](crate::port::contacts::Contacts) for a ledger of this database.
macro_rules! implement_contacts {
    ($ledger:ty, $row:ty) => {
        use std::collections::BTreeMap;

        use $crate::adapter::sql::contacts as statements;
        use $crate::domain::time::At;
        use $crate::port::contacts::{CANDIDATES_MAX, CallerNote, Contact, ContactPage, Contacts};
        use $crate::port::ledger::LedgerError;

        fn contact_of_row(row: &$row) -> Contact {
            Contact {
                site: row.get(0),
                number: row.get::<&str, _>(1).into(),
                name: row.get::<&str, _>(2).into(),
                company: row.get::<&str, _>(3).into(),
                url: row.get::<&str, _>(4).into(),
            }
        }

        #[async_trait::async_trait]
        impl Contacts for $ledger {
            async fn contacts_of(
                &self,
                site: &str,
                number: &str,
            ) -> Result<Vec<Contact>, LedgerError> {
                let select = sqlx::query(statements::SELECT_CONTACTS_OF)
                    .bind(site)
                    .bind(number)
                    .bind(i64::try_from(CANDIDATES_MAX).unwrap_or(i64::MAX));
                let rows = self.select(select).await?;

                Ok(rows.iter().map(contact_of_row).collect())
            }

            async fn contacts_of_all(
                &self,
                numbers: &[(String, String)],
            ) -> Result<Vec<Contact>, LedgerError> {
                let wanted = numbers.iter().map(|(site, number)| {
                    serde_json::json!({ "site": site, "number": number })
                });
                let wanted = serde_json::Value::from_iter(wanted).to_string();
                let rows = self
                    .select(sqlx::query(SELECT_CONTACTS_OF_ALL).bind(wanted))
                    .await?;

                Ok(rows.iter().map(contact_of_row).collect())
            }

            async fn contacts(&self, page: &ContactPage) -> Result<Vec<Contact>, LedgerError> {
                let text = page.text.as_deref().map(statements::pattern);
                let select = sqlx::query(statements::SELECT_CONTACTS)
                    .bind(page.site.as_deref().unwrap_or_default())
                    .bind(text.unwrap_or_default())
                    .bind(i64::from(page.limit))
                    .bind(i64::from(page.skipped));
                let rows = self.select(select).await?;

                Ok(rows.iter().map(contact_of_row).collect())
            }

            async fn put_contacts(
                &self,
                contacts: &[Contact],
                replaces: Option<&str>,
            ) -> Result<u64, LedgerError> {
                // The last one of a number and a name counts; a statement writes no row twice.
                let rows: BTreeMap<_, _> = contacts
                    .iter()
                    .map(|contact| {
                        let key = (&contact.site, &contact.number, &contact.name);
                        let row = serde_json::json!({
                            "site": contact.site,
                            "number": &*contact.number,
                            "name": &*contact.name,
                            "company": &*contact.company,
                            "url": &*contact.url,
                        });
                        (key, row)
                    })
                    .collect();
                let rows = serde_json::Value::from_iter(rows.into_values()).to_string();

                match replaces {
                    Some(site) => self.replace_contacts(site, &rows).await,
                    None => {
                        self.execute(sqlx::query(UPSERT_CONTACTS).bind(rows))
                            .await?;
                        Ok(0)
                    }
                }
            }

            async fn remove_contacts(
                &self,
                site: &str,
                number: &str,
                name: Option<&str>,
            ) -> Result<u64, LedgerError> {
                let delete = sqlx::query(statements::DELETE_CONTACTS)
                    .bind(site)
                    .bind(number)
                    .bind(name.unwrap_or_default());

                self.execute(delete).await
            }

            async fn note_of(
                &self,
                site: &str,
                number: &str,
            ) -> Result<Option<CallerNote>, LedgerError> {
                let select = sqlx::query(statements::SELECT_NOTE).bind(site).bind(number);
                let rows = self.select(select).await?;

                Ok(rows.first().map(|row| CallerNote {
                    text: row.get::<&str, _>(0).into(),
                    written_by: row.get(1),
                    written_at: At(row.get(2)),
                }))
            }

            async fn set_note(
                &self,
                site: &str,
                number: &str,
                note: Option<&CallerNote>,
            ) -> Result<(), LedgerError> {
                let change = match note {
                    Some(note) => sqlx::query(statements::UPSERT_NOTE)
                        .bind(site)
                        .bind(number)
                        .bind(&*note.text)
                        .bind(&note.written_by)
                        .bind(note.written_at.0),
                    None => sqlx::query(statements::DELETE_NOTE).bind(site).bind(number),
                };
                self.execute(change).await?;

                Ok(())
            }
        }
    };
}
pub(in crate::adapter) use implement_contacts;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_stands_for_itself() {
        assert_eq!(pattern("50 %_\\"), r"%50 \%\_\\%");
    }
}
