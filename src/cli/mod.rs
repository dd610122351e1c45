//! The command line: parses arguments, calls `app`, prints results, and maps failures to exit
//! codes.

mod accounts;
mod api;
mod broker;
mod calls;
mod config;
mod days;
mod dead_letters;
mod doctor;
mod exit;
mod explain;
mod failure;
mod input;
mod migrate;
mod missed;
mod options;
mod phone_token;
mod phones;
mod progress;
mod rebuild;
mod reconstruct;
mod resend;
mod runtime;
mod serve;
mod simulate;
mod sorter;
mod stats;
mod streams;
mod token;
mod top;
mod user;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Cordboard turns the HTTP events of Grandstream phones into one true record per call.
#[derive(Parser)]
#[command(
    name = "cordboard",
    version,
    max_term_width = 110,
    after_help = exit::help()
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Calls(calls::Arguments),
    Missed(missed::Arguments),
    Stats(stats::Arguments),
    Top(top::Arguments),
    Simulate(simulate::Arguments),
    SimulateDays(days::Arguments),
    Reconstruct(reconstruct::Arguments),
    Explain(explain::Arguments),
    Migrate(migrate::Arguments),
    Rebuild(rebuild::Arguments),
    Doctor(doctor::Arguments),
    DeadLetters(dead_letters::Arguments),
    Broker(broker::Arguments),
    Streams(streams::Arguments),
    Resend(resend::Arguments),
    Config(config::Arguments),
    User(user::Arguments),
    Token(token::Arguments),
    PhoneToken(phone_token::Arguments),
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::report_usage(&error),
    };

    let result = match arguments.command {
        Command::Reconstruct(arguments) => reconstruct::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::SimulateDays(arguments) => days::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Calls(arguments) => calls::run(&arguments),
        Command::Missed(arguments) => missed::run(&arguments),
        Command::Stats(arguments) => stats::run(&arguments),
        Command::Top(arguments) => top::run(arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Rebuild(arguments) => rebuild::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::DeadLetters(arguments) => dead_letters::run(arguments),
        Command::Broker(arguments) => broker::run(&arguments),
        Command::Streams(arguments) => streams::run(&arguments),
        Command::Resend(arguments) => resend::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::User(arguments) => user::run(arguments),
        Command::Token(arguments) => token::run(arguments),
        Command::PhoneToken(arguments) => phone_token::run(&arguments),
    };

    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
