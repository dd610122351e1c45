//! Answers as CSV. What a spreadsheet would take for a formula begins with an apostrophe.

use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

/// Characters with which spreadsheets begin a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Characters at which a spreadsheet may begin another cell: those of many languages separate columns
/// with semicolons, and take no notice of quotes then.
const SEPARATORS: [char; 4] = [';', '\t', '\r', '\n'];

const NOT_UTF_8: &str = "the text is not UTF-8; save the file as \"CSV UTF-8\"";

/// Whether a spreadsheet has taken a number for a quantity, and shortened it: `4.93012E+11`.
pub(super) fn is_shortened(number: &str) -> bool {
    let Some((digits, exponent)) = number.split_once(['e', 'E']) else {
        return false;
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());

    is_digits(&digits.replacen(['.', ','], "", 1))
        && exponent.strip_prefix('+').is_some_and(is_digits)
}

/// A cell as it is exported.
fn protect(cell: &str) -> String {
    let mut protected = String::with_capacity(cell.len() + 1);
    let mut is_begin = true;
    for char in cell.chars() {
        if is_begin && FORMULA.contains(&char) {
            protected.push('\'');
        }
        protected.push(char);
        is_begin = SEPARATORS.contains(&char);
    }

    protected
}

/// A cell as it was before it was exported. Other cells may begin with an apostrophe too, as the name
/// 't Hooft.
pub(super) fn without_protection(cell: String) -> String {
    if !cell.contains('\'') {
        return cell;
    }

    let mut plain = String::with_capacity(cell.len());
    let mut is_begin = true;
    let mut chars = cell.chars().peekable();
    while let Some(char) = chars.next() {
        let is_protected = chars.peek().is_some_and(|next| FORMULA.contains(next));
        if !(is_begin && char == '\'' && is_protected) {
            plain.push(char);
        }
        is_begin = SEPARATORS.contains(&char);
    }

    plain
}

/// The lines of a file with a head, each with its number. The columns may stand in any order, and are
/// separated by commas or semicolons.
///
/// # Errors
/// The reason for a person, with the line.
pub(super) fn read_lines<Line: DeserializeOwned>(
    body: &[u8],
    columns: &[&str],
    needed: &[&str],
    lines_max: usize,
) -> Result<Vec<(usize, Line)>, String> {
    if body.contains(&0) {
        return Err(NOT_UTF_8.to_owned());
    }
    let mut lines = Vec::new();
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator_of(body))
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(body);

    // Without its head, the first line of the file would be taken for one, and be lost.
    let wrong_columns = || format!("its columns are {}", columns.join(", "));
    let head = reader.headers().map_err(|_| wrong_columns())?;
    let has = |name: &&str| head.iter().any(|own| own == *name);
    if !needed.iter().all(has) {
        return Err(wrong_columns());
    }

    for (index, line) in reader.deserialize::<Line>().enumerate() {
        // The head is the first line.
        let number = index + 2;
        if index >= lines_max {
            return Err(format!("a file has at most {lines_max} lines"));
        }
        let line = line.map_err(|error| {
            let reason = match error.kind() {
                csv::ErrorKind::Utf8 { .. } => NOT_UTF_8.to_owned(),
                _ => wrong_columns(),
            };
            format!("line {number}: {reason}")
        })?;
        lines.push((number, line));
    }

    Ok(lines)
}

/// Spreadsheets of many languages separate columns with semicolons.
fn separator_of(body: &[u8]) -> u8 {
    let head = body.split(|byte| *byte == b'\n').next().unwrap_or_default();

    if head.contains(&b';') && !head.contains(&b',') {
        b';'
    } else {
        b','
    }
}

/// A table that is being written.
pub(super) struct Table(csv::Writer<Vec<u8>>);

impl Table {
    pub(super) fn new(head: &[&str]) -> Table {
        let mut table = Table(csv::Writer::from_writer(Vec::new()));
        table.row(head.iter().map(|name| (*name).to_owned()));

        table
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| protect(&cell));

        // Memory takes every row, and all rows of a table have one length.
        let _ = self.0.write_record(cells);
    }

    /// The answer: a file of this name.
    pub(super) fn into_response(self, file: &str) -> Response {
        let text = self.0.into_inner().unwrap_or_default();

        (
            [
                (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
                (CACHE_CONTROL, "no-store".to_owned()),
                (
                    CONTENT_DISPOSITION,
                    format!("attachment; filename=\"{file}\""),
                ),
            ],
            text,
        )
            .into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_shows_the_separator() {
        assert_eq!(separator_of(b"number;name\n1;a, b\n"), b';');
        assert_eq!(separator_of(b"number,name\n1,a; b\n"), b',');
    }

    #[test]
    fn an_exported_cell_is_read_as_it_was() {
        for (cell, read) in [("'+4930", "+4930"), ("'t Hooft", "'t Hooft"), ("a", "a")] {
            assert_eq!(without_protection(cell.to_owned()), read);
        }
    }

    #[test]
    fn a_file_in_another_encoding_is_refused_by_its_name() {
        let read = |body: &[u8]| {
            read_lines::<(String, String)>(body, &["number", "name"], &["number", "name"], 9)
        };

        assert_eq!(read("number,name\n1,Jürgen\n".as_bytes()).unwrap().len(), 1);
        let utf_16: Vec<u8> = "number,name\n1,J"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(read(&utf_16).unwrap_err(), NOT_UTF_8);
        assert_eq!(
            read(b"number,name\n1,J\xfcrgen\n").unwrap_err(),
            format!("line 2: {NOT_UTF_8}")
        );
    }

    #[test]
    fn a_quantity_is_no_number_of_a_phone() {
        for shortened in ["4.93012E+11", "4,93012e+11", "5E+10"] {
            assert!(is_shortened(shortened), "{shortened}");
        }
        for number in ["+493012", "201", "e+1", "alice+1", "1e5", "E+11"] {
            assert!(!is_shortened(number), "{number}");
        }
    }

    #[test]
    fn formulas_are_text_and_separators_are_quoted() {
        let mut table = Table::new(&["name", "number"]);
        table.row(["=cmd()".to_owned(), "+4930".to_owned()]);
        table.row(["a \"b\", c".to_owned(), "201".to_owned()]);

        let text = String::from_utf8(table.0.into_inner().unwrap()).unwrap();

        assert_eq!(
            text,
            "name,number\n'=cmd(),'+4930\n\"a \"\"b\"\", c\",201\n"
        );
    }

    #[test]
    fn formulas_behind_other_separators_are_text_and_come_back() {
        for (cell, exported) in [
            ("a;=cmd()", "a;'=cmd()"),
            ("a\n@sum", "a\n'@sum"),
            ("\t=1", "'\t'=1"),
            ("'t Hooft; b", "'t Hooft; b"),
            ("rate 5-6", "rate 5-6"),
        ] {
            assert_eq!(protect(cell), exported);
            assert_eq!(without_protection(exported.to_owned()), cell);
        }
    }
}
