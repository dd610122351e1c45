//! Migrations that the program carries: the files below `migrations/`, and their state in a
//! database.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// A migration, and whether the database has it.
#[derive(Clone, Debug)]
pub struct MigrationStatus {
    pub version: i64,
    pub description: String,
    pub applied: bool,
}

/// A table, the number of its rows, and its size where the database tells it.
#[derive(Clone, Debug)]
pub struct TableStatus {
    pub name: String,
    pub rows: i64,
    pub bytes: Option<i64>,
}

/// The two files of one migration.
pub(in crate::adapter) struct MigrationFiles {
    pub version: i64,
    pub name: &'static str,
    pub up: &'static str,
    pub down: &'static str,
}

/// Embeds the files `migrations/$folder/{$version}_{$name}.{up,down}.sql`. `sqlx::migrate!` does
/// the same, and compiles SQLite, both drivers and the TLS library a second time for the compiler.
macro_rules! embed_migrations {
    ($folder:literal: $($version:literal $name:literal),+ $(,)?) => {
        [$($crate::adapter::sql::MigrationFiles {
            version: $crate::adapter::sql::parse_version($version),
            name: $name,
            up: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/migrations/", $folder, "/", $version, "_", $name, ".up.sql"
            )),
            down: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/migrations/", $folder, "/", $version, "_", $name, ".down.sql"
            )),
        }),+]
    };
}
pub(in crate::adapter) use embed_migrations;

/// Parses the digits with which the name of a migration's file begins.
pub(in crate::adapter) const fn parse_version(digits: &str) -> i64 {
    match i64::from_str_radix(digits, 10) {
        Ok(version) => version,
        Err(_) => panic!("the version of a migration is a number"),
    }
}

/// Returns what applies these migrations, in the order of their versions.
pub(in crate::adapter) fn migrator(files: &'static [MigrationFiles]) -> Migrator {
    let both = files.iter().flat_map(|files| {
        [
            (MigrationType::ReversibleUp, files.up),
            (MigrationType::ReversibleDown, files.down),
        ]
        .map(|(direction, sql)| {
            Migration::new(
                files.version,
                files.name.replace('_', " ").into(),
                direction,
                sql.into_sql_str(),
                false,
            )
        })
    });

    Migrator::with_migrations(both.collect())
}

/// Lists the migrations of this version and marks the applied ones.
pub(in crate::adapter) fn status(migrator: &Migrator, applied: &[i64]) -> Vec<MigrationStatus> {
    migrator
        .iter()
        .filter(|migration| !migration.migration_type.is_down_migration())
        .map(|migration| MigrationStatus {
            version: migration.version,
            description: migration.description.to_string(),
            applied: applied.contains(&migration.version),
        })
        .collect()
}
