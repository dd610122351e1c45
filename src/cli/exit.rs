//! Exit codes of the command, with the values of BSD's `sysexits.h`. Scripts and service managers
//! decide by them whether to retry, to correct the input, or to alert an operator.
//!
//! `docs/exit-codes.md` describes each code and the next step of its caller; a test compares the
//! page with this file.

use std::fmt::Write;
use std::process::ExitCode;

/// The result of a command, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Success = 0,
    Usage = 64,
    BadInput = 65,
    Service = 69,
    Io = 74,
    Settings = 78,
}

impl Exit {
    const ALL: [Exit; 6] = [
        Exit::Success,
        Exit::Usage,
        Exit::BadInput,
        Exit::Service,
        Exit::Io,
        Exit::Settings,
    ];

    fn code(self) -> u8 {
        self as u8
    }

    fn meaning(self) -> &'static str {
        match self {
            Exit::Success => "success",
            Exit::Usage => "invalid command line",
            Exit::BadInput => "invalid input lines, which were skipped",
            Exit::Service => {
                "the service could not start or had to stop, a server is unavailable, or a check \
                 failed"
            }
            Exit::Io => "reading or writing failed",
            Exit::Settings => "invalid settings or policy file",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The list of exit codes at the end of `--help`.
pub(super) fn help() -> String {
    let mut text = "Exit codes:".to_owned();

    for exit in Exit::ALL {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {:>2}  {}", exit.code(), exit.meaning());
    }

    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_exit_codes_lists_every_code_with_its_meaning() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/exit-codes.md");
        let page = std::fs::read_to_string(path).unwrap();
        let rows: Vec<(&str, &str)> = page
            .lines()
            .filter_map(|line| {
                let mut cells = line.split('|').map(str::trim).skip(1);
                Some((cells.next()?, cells.next()?))
            })
            .filter(|(code, _)| code.parse::<u8>().is_ok())
            .collect();

        let expected: Vec<(String, &str)> = Exit::ALL
            .into_iter()
            .map(|exit| (exit.code().to_string(), exit.meaning()))
            .collect();
        let expected: Vec<(&str, &str)> = expected
            .iter()
            .map(|(code, meaning)| (code.as_str(), *meaning))
            .collect();

        assert_eq!(rows, expected, "docs/exit-codes.md differs from Exit::ALL");
    }
}
