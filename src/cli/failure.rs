//! Failures of a command: one line on standard error, and the exit code of their kind.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;

use super::exit::Exit;
use crate::app::ServiceError;
use crate::chain::Chain;
use crate::setup::SetupError;

/// A failure, named by the part that has to be corrected.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line is invalid.
    Usage(String),
    /// Input lines were invalid. Each was reported and skipped.
    BadInput {
        skipped: u64,
    },
    /// The policy file is invalid.
    Policy(String),
    /// The settings are invalid.
    Config(String),
    /// The service could not start or had to stop, or a check failed.
    Service(String),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Failure {
        match error {
            ServiceError::Setup(error) => error.into(),
            error @ (ServiceError::NoAccounts(_) | ServiceError::LookUp(_)) => {
                Failure::Config(error.to_string())
            }
            other => Failure::Service(Chain(&other).to_string()),
        }
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Failure {
        match error {
            SetupError::Config(error) => Failure::Config(error.to_string()),
            SetupError::IncompleteServerSettings(error) => Failure::Config(error.to_owned()),
            SetupError::Partitions(error) => Failure::Config(error),
            other => Failure::Service(Chain(&other).to_string()),
        }
    }
}

impl Failure {
    /// Prints the failure and returns its exit code.
    pub(super) fn report(self) -> ExitCode {
        let (exit, line) = match self {
            // The reader of standard output has closed it, as `head` does: its output is complete.
            Failure::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Exit::Success.into();
            }
            Failure::Usage(line) => (Exit::Usage, line),
            Failure::BadInput { skipped: 1 } => (Exit::BadInput, "1 line was skipped".to_owned()),
            Failure::BadInput { skipped } => {
                (Exit::BadInput, format!("{skipped} lines were skipped"))
            }
            Failure::Io(error) => (Exit::Io, error.to_string()),
            Failure::Service(line) => (Exit::Service, line),
            Failure::Policy(line) | Failure::Config(line) => (Exit::Settings, line),
        };

        print_error(&line);
        exit.into()
    }
}

/// Prints one line on standard error.
pub(super) fn print_error(line: &str) {
    // A closed standard error leaves no channel for a report.
    let _ = writeln!(io::stderr().lock(), "cordboard: {line}");
}

/// Prints clap's result: help and version unchanged, an error as one line.
pub(super) fn report_usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed output has no reader for the help.
            let _ = error.print();
            return Exit::Success.into();
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // A closed output has no reader for the help.
            let _ = error.print();
            return Exit::Usage.into();
        }
        _ => {}
    }

    let text = error.to_string();
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty())
        .collect();
    let line = lines.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);

    print_error(&format!("{line} (see `cordboard --help`)"));
    Exit::Usage.into()
}
