//! Numbers in a settings file: the parser rounds a fraction, and names no key of a number that is
//! too large.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::BadConfig;

/// Rejects the first number that is no whole number of 64 bits. What is no settings file is left to
/// the parser.
pub(super) fn check_numbers(path: &Path) -> Result<(), BadConfig> {
    // A pipe can be read only once.
    if !path.is_file() {
        return Ok(());
    }
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(());
    };
    let Ok(table) = DeTable::parse(&text) else {
        return Ok(());
    };

    check_table(table.get_ref(), "")
}

fn check_table(table: &DeTable<'_>, prefix: &str) -> Result<(), BadConfig> {
    for (key, value) in table {
        let key = format!("{prefix}{}", key.get_ref());
        check_value(value.get_ref(), &key)?;
    }

    Ok(())
}

fn check_value(value: &DeValue<'_>, key: &str) -> Result<(), BadConfig> {
    match value {
        DeValue::Integer(number)
            if i64::from_str_radix(number.as_str(), number.radix()).is_err() =>
        {
            Err(BadConfig(format!("`{key}` is too large a number")))
        }
        DeValue::Float(_) => Err(BadConfig(format!(
            "`{key}` must be a whole number, without a fraction"
        ))),
        DeValue::Array(values) => values
            .iter()
            .try_for_each(|value| check_value(value.get_ref(), key)),
        DeValue::Table(table) => check_table(table, &format!("{key}.")),
        _ => Ok(()),
    }
}
