//! `cordboard token`: tokens of programs for the API.

use std::io::{self, Write};

use super::accounts::{check_name, parse_role, sites};
use super::failure::Failure;
use super::options::SettingsArguments;
use super::runtime::block_on;
use crate::access::Role;
use crate::ops::{self, TokenAction, TokenResult};
use crate::wire::instant;

/// Create, list and revoke the tokens with which programs use the API
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,

    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Create a token and print it: it is shown this once
    Create {
        /// Name of the program
        name: String,

        /// wallboard, agent, supervisor, integrator or admin
        #[arg(long, value_parser = parse_role, default_value = "integrator")]
        role: Role,

        /// Limit the token to a site; may be repeated. All sites without it
        #[arg(long, value_name = "SITE")]
        site: Vec<String>,
    },
    /// List all tokens, also revoked ones
    List,
    /// Revoke a token: it is refused from now on, open streams end within a minute
    Revoke {
        /// Name of the program
        name: String,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let action = match arguments.action {
        Action::Create { name, role, site } => TokenAction::Create {
            name: check_name(name)?,
            role,
            sites: sites(&site)?,
        },
        Action::List => TokenAction::List,
        Action::Revoke { name } => TokenAction::Revoke(name),
    };

    let result = block_on(async { Ok(ops::change_tokens(&settings, action).await?) })?;

    let mut out = io::stdout().lock();
    match result {
        TokenResult::Created(secret) => writeln!(out, "{}", secret.as_str())?,
        TokenResult::Done => {}
        TokenResult::Tokens(tokens) => {
            for token in tokens {
                let state = token.revoked_at.map_or_else(
                    || "valid".to_owned(),
                    |at| format!("revoked {}", instant::text(at)),
                );
                writeln!(
                    out,
                    "{}  {}  {}  created {}  {state}",
                    token.name,
                    token.role.name(),
                    token.sites,
                    instant::text(token.created_at),
                )?;
            }
        }
    }

    Ok(())
}
