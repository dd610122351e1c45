//! `cordboard rebuild`: store what the facts say, or show where it is stored otherwise.

use std::io::{self, Write};
use std::path::PathBuf;

use super::failure::Failure;
use super::progress;
use super::serve::{SettingsArguments, block_on};
use crate::app::{self, Scope};
use crate::wire::instant;
use crate::wire::policy_file::Policies;

/// Fold all stored facts from scratch and store the records they make
///
/// For after the rules of a site were changed. The service must not run; every day of a site is one
/// transaction. With --diff nothing is changed, and the service may run: every call that is stored
/// otherwise is printed.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only show what differs
    #[arg(long)]
    diff: bool,

    /// Only calls that began at or after this instant
    #[arg(long, value_name = "INSTANT")]
    since: Option<String>,

    /// The rules of the sites, as TOML or JSON, instead of those in the settings
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let since = arguments.since.as_deref().map(instant::parse).transpose();
    let since = since.map_err(|error| Failure::Usage(format!("--since is no instant: {error}")))?;
    let policies = arguments.policy.as_deref().map(Policies::read).transpose();
    let scope = Scope {
        since,
        policies: policies.map_err(|error| Failure::Policy(error.to_string()))?,
    };
    if arguments.diff {
        return show(&block_on(async {
            Ok(app::differences(&settings, &scope).await?)
        })?);
    }
    let bar = progress::bar("calls")?;
    let corrected = block_on(async {
        let progress = |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        };
        Ok(app::rebuild(&settings, &scope, progress).await?)
    })?;
    bar.finish_and_clear();
    writeln!(
        io::stdout().lock(),
        "{corrected} calls were stored otherwise, and are right now"
    )?;
    Ok(())
}

fn show(differences: &[app::Difference]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for difference in differences {
        writeln!(out, "{}", difference.call_id)?;
        writeln!(
            out,
            "  stored   {}",
            difference.stored.as_deref().unwrap_or("nothing")
        )?;
        writeln!(
            out,
            "  rebuilt  {}",
            difference.rebuilt.as_deref().unwrap_or("nothing")
        )?;
    }
    match differences.len() {
        0 => Ok(()),
        1 => Err(Failure::Service(
            "1 call is stored otherwise than its facts say".to_owned(),
        )),
        some => Err(Failure::Service(format!(
            "{some} calls are stored otherwise than their facts say"
        ))),
    }
}
