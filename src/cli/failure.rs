//! How a command fails: one clear line on standard error, and the exit code that says what kind of
//! failure it was.

use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;

/// A failure, named by who has to do something about it.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// Some input was wrong; it was skipped, and each case has been told already.
    BadInput {
        skipped: u64,
    },
    /// The policy file is wrong.
    Policy(String),
    /// The settings are wrong.
    Config(String),
    /// The service could not start, or had to end.
    Service(String),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl Failure {
    pub(super) fn report(self) -> ExitCode {
        let (code, line) = match self {
            // Whoever read the output has read enough.
            Failure::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Failure::Usage(line) => (64, line),
            Failure::BadInput { skipped: 1 } => (65, "1 line was skipped".to_owned()),
            Failure::BadInput { skipped } => (65, format!("{skipped} lines were skipped")),
            Failure::Io(error) => (74, error.to_string()),
            Failure::Service(line) => (69, line),
            Failure::Policy(line) | Failure::Config(line) => (78, line),
        };
        say(&line);
        ExitCode::from(code)
    }
}

/// One line to the person at the terminal. If nobody can read it, nothing is lost.
pub(super) fn say(line: &str) {
    use io::Write;
    let _unread = writeln!(io::stderr().lock(), "cordboard: {line}");
}

/// What clap says about a command line: help as it is, mistakes as one line.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let _unread = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _unread = error.print();
        return ExitCode::from(64);
    }
    let text = error.to_string();
    let told: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty())
        .collect();
    let line = told.join(" ");
    say(&format!(
        "{} (see `cordboard --help`)",
        line.strip_prefix("error: ").unwrap_or(&line)
    ));
    ExitCode::from(64)
}
