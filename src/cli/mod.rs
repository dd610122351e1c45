//! The command line: words into calls, results into text and exit codes.

mod broker;
mod dead_letters;
mod doctor;
mod explain;
mod failure;
mod input;
mod progress;
mod rebuild;
mod reconstruct;
mod resend;
mod serve;
mod simulate;
mod sorter;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::wire::policy_file::Policies;
use failure::Failure;

/// Cordboard turns what Grandstream phones report into one true record per call.
#[derive(Parser)]
#[command(name = "cordboard", version, max_term_width = 110, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Simulate(simulate::Arguments),
    Reconstruct(reconstruct::Arguments),
    Explain(explain::Arguments),
    Migrate(serve::Migrate),
    Rebuild(rebuild::Arguments),
    Doctor(doctor::Arguments),
    DeadLetters(dead_letters::Arguments),
    Broker(broker::Arguments),
    Resend(resend::Arguments),
    Config(serve::Config),
    Token(serve::Token),
}

const EXIT_CODES: &str = "Exit codes: 0 done, 64 the command line is wrong, 65 some input was wrong (and skipped), 69 the service could not start or had to end, 74 reading or writing failed, 78 the settings or the policy file are wrong.";

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::usage(&error),
    };
    let done = match arguments.command {
        Command::Reconstruct(arguments) => reconstruct::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Serve(arguments) => serve::serve(&arguments),
        Command::Migrate(arguments) => serve::migrate(&arguments),
        Command::Rebuild(arguments) => rebuild::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::DeadLetters(arguments) => dead_letters::run(arguments),
        Command::Broker(arguments) => broker::run(&arguments),
        Command::Resend(arguments) => resend::run(&arguments),
        Command::Config(arguments) => serve::config(&arguments),
        Command::Token(arguments) => serve::token(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// What `reconstruct` and `explain` share.
#[derive(clap::Args)]
struct InputArguments {
    /// The rules of the sites, as TOML or JSON; without it the defaults hold
    #[arg(long, value_name = "FILE")]
    policy: Option<std::path::PathBuf>,

    /// Stop the watermark here: later facts are left out, and calls that are not over by then are
    /// shown as they stand
    #[arg(long, value_name = "INSTANT")]
    at: Option<String>,
}

impl InputArguments {
    fn policies(&self) -> Result<Policies, Failure> {
        let policies = self.policy.as_deref().map(Policies::read).transpose();
        Ok(policies
            .map_err(|error| Failure::Policy(error.to_string()))?
            .unwrap_or_default())
    }

    fn limit(&self) -> Result<Option<crate::domain::time::At>, Failure> {
        let parse = |text: &String| {
            crate::wire::instant::parse(text)
                .map_err(|error| Failure::Usage(format!("--at {text:?} is no instant: {error}")))
        };
        self.at.as_ref().map(parse).transpose()
    }
}
