//! Database errors, classified by the caller's next step. A `PostgreSQL` error is reduced to its
//! message and code: its details can hold statements and values, and thus personal data.

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

use crate::port::ledger::LedgerError;

/// Classes of `PostgreSQL` errors for values that a table never accepts: data exceptions, and
/// violated constraints. A later attempt fails in the same way.
const POSTGRES_REJECTED: [&str; 2] = ["22", "23"];

/// Primary `SQLite` codes for a damaged file: `SQLITE_CORRUPT` and `SQLITE_NOTADB`.
const SQLITE_CORRUPT: [i32; 2] = [11, 26];

/// Primary `SQLite` codes for values that a table never accepts: `SQLITE_TOOBIG`,
/// `SQLITE_CONSTRAINT`, `SQLITE_MISMATCH` and `SQLITE_RANGE`.
const SQLITE_REJECTED: [i32; 4] = [18, 19, 20, 25];

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> LedgerError {
        use sqlx::Error::{ColumnDecode, ColumnNotFound, Decode};

        if let Some(database) = error.as_database_error() {
            if let Some(error) = database.try_downcast_ref::<PgDatabaseError>() {
                return classify_postgres(error);
            }
            if let Some(error) = database.try_downcast_ref::<SqliteError>() {
                return classify_sqlite(error);
            }
        }

        match error {
            Decode(_) | ColumnDecode { .. } | ColumnNotFound(_) => {
                LedgerError::Corrupt(error.into())
            }
            _ => LedgerError::Unavailable(error.into()),
        }
    }
}

fn classify_postgres(error: &PgDatabaseError) -> LedgerError {
    let code = error.code();
    if POSTGRES_REJECTED
        .iter()
        .any(|class| code.starts_with(class))
    {
        return LedgerError::Rejected(format!("{} ({code})", error.message()));
    }

    let text = match code {
        // Undefined table, column and function.
        "42P01" | "42703" | "42883" => format!(
            "{}; `cordboard migrate` brings its tables up to date",
            error.message()
        ),
        _ => format!("{} ({code})", error.message()),
    };
    LedgerError::Unavailable(text.into())
}

/// All other `SQLite` errors concern the file or the disk and may pass.
fn classify_sqlite(error: &SqliteError) -> LedgerError {
    let primary_code = error
        .code()
        .and_then(|code| code.parse::<i32>().ok())
        .map(|extended| extended & 0xff);

    match primary_code {
        Some(code) if SQLITE_CORRUPT.contains(&code) => {
            LedgerError::Corrupt(error.to_string().into())
        }
        Some(code) if SQLITE_REJECTED.contains(&code) => LedgerError::Rejected(error.to_string()),
        _ => LedgerError::Unavailable(error.to_string().into()),
    }
}
