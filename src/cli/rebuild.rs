//! `cordboard rebuild`: folds the stored facts again and corrects the stored records, or prints the
//! differences.

use std::io::{self, Write};
use std::path::PathBuf;

use super::failure::Failure;
use super::options::{SettingsArguments, parse_instant, read_policies};
use super::progress;
use super::runtime::block_on;
use crate::ops::{self, Scope};

/// Fold all stored facts from scratch, and correct the stored records
///
/// For use after the rules of a site were changed. The service must be stopped; every day of a site
/// is one transaction. With --diff the command changes nothing, and the service may run: it prints
/// every call whose stored record differs from its facts.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only print the differences
    #[arg(long)]
    diff: bool,

    /// Only calls that began at or after this instant (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    since: Option<String>,

    /// Policy file: rules of the sites, as TOML or JSON, instead of those in the settings
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let scope = Scope {
        since: arguments
            .since
            .as_deref()
            .map(|text| parse_instant("--since", text))
            .transpose()?,
        policies: read_policies(arguments.policy.as_deref())?,
    };

    if arguments.diff {
        let differences = block_on(async { Ok(ops::differences(&settings, &scope).await?) })?;
        return print_differences(&differences);
    }

    let bar = progress::bar("calls")?;
    let corrected = block_on(async {
        let progress = |rebuilt, all| {
            bar.set_length(all);
            bar.set_position(rebuilt);
        };
        Ok(ops::rebuild(&settings, &scope, progress).await?)
    })?;
    bar.finish_and_clear();

    writeln!(io::stdout().lock(), "{corrected} calls corrected")?;
    Ok(())
}

fn print_differences(differences: &[ops::Difference]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for difference in differences {
        let stored = difference.stored.as_deref().unwrap_or("nothing");
        let rebuilt = difference.rebuilt.as_deref().unwrap_or("nothing");

        writeln!(out, "{}", difference.call_id)?;
        writeln!(out, "  stored   {stored}")?;
        writeln!(out, "  rebuilt  {rebuilt}")?;
    }

    match differences.len() {
        0 => Ok(()),
        1 => Err(Failure::Service(
            "the stored record of 1 call differs from its facts".to_owned(),
        )),
        calls => Err(Failure::Service(format!(
            "the stored records of {calls} calls differ from their facts"
        ))),
    }
}
