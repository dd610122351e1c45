//! Words: comments name their subjects with nouns, and so do identifiers.

use super::{Source, all_sources, assert_none};

/// Words that hide a subject. The list is written so that this file does not contain them.
const VAGUE: [&str; 4] = [
    concat!("to", "ld"),
    concat!("some", "body"),
    concat!("no", "body"),
    concat!("who", "ever"),
];
/// Beginnings of sentences whose subject is a clause.
const FREE_RELATIVES: [&str; 8] = [
    "What",
    "Whatever",
    "Who",
    concat!("Who", "ever"),
    "Whose",
    "That",
    "Where",
    "Wherever",
];
/// One sentence of so many may begin with one of them.
const FREE_RELATIVE_ONE_IN: usize = 100;

#[test]
fn comments_and_identifiers_name_their_subjects() {
    let mut violations = Vec::new();

    for Source { path, text } in all_sources() {
        for (number, line) in (1..).zip(text.lines()) {
            let text = comment(line).map_or_else(|| without_strings(line), str::to_owned);
            if let Some(word) = vague_word(&text) {
                violations.push(format!("{path}:{number}: {word}"));
            }
        }
    }

    assert_none("a word hides a subject", &violations);
}

#[test]
fn few_sentences_begin_with_a_clause() {
    let mut sentences = 0;
    let mut violations = Vec::new();

    for Source { path, text } in all_sources() {
        for sentence in comment_sentences(&text) {
            sentences += 1;
            let first = sentence.split(' ').next().unwrap_or("");
            if FREE_RELATIVES.contains(&first) {
                violations.push(format!("{path}: {sentence}"));
            }
        }
    }

    assert!(sentences > 2_000, "the rule must see comments");
    assert!(
        violations.len() * FREE_RELATIVE_ONE_IN <= sentences,
        "{} of {sentences} sentences begin with a clause:\n{}",
        violations.len(),
        violations.join("\n")
    );
}

#[test]
fn the_rules_find_violations() {
    assert_eq!(vague_word(concat!("is_to", "ld_twice")), Some(VAGUE[0]));
    assert_eq!(vague_word(concat!("No", "body knows.")), Some(VAGUE[2]));
    assert_eq!(vague_word("threefold"), None);

    let comments = "/// First. What is second?\n/// Where `it` ends.\nlet x = 1;\n// Last";
    let expected = ["First.", "What is second?", "Where `it` ends.", "Last"];
    assert_eq!(comment_sentences(comments), expected);
}

/// The text of a line that is a comment.
fn comment(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("//")?;

    Some(rest.trim_start_matches(['/', '!']).trim())
}

/// The sentences of all comments. A blank line of a comment and a line of code end one.
fn comment_sentences(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut open = String::new();

    for line in text.lines().map(comment).chain([None]) {
        match line {
            Some(line) if !line.is_empty() => {
                for word in line.split_whitespace() {
                    let begins = word.starts_with(|c: char| c.is_ascii_uppercase() || c == '`');
                    if begins && open.ends_with(['.', '!', '?', ':']) {
                        sentences.push(std::mem::take(&mut open));
                    }
                    if !open.is_empty() {
                        open.push(' ');
                    }
                    open.push_str(word);
                }
            }
            _ if open.is_empty() => {}
            _ => sentences.push(std::mem::take(&mut open)),
        }
    }

    sentences
}

/// Code without the content of its string literals.
fn without_strings(line: &str) -> String {
    let outside = line.split('"').step_by(2);

    outside.collect::<Vec<_>>().join("\"")
}

/// A vague word among the words and the parts of the identifiers of a text.
fn vague_word(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphabetic());

    words.find_map(|word| VAGUE.iter().find(|vague| **vague == word).copied())
}
