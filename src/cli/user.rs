//! `cordboard user`: the accounts of people.

use std::io::{self, Write};

use super::accounts::{check_name, parse_role, sites};
use super::failure::Failure;
use super::options::SettingsArguments;
use super::runtime::block_on;
use crate::access::Role;
use crate::config::Settings;
use crate::domain::device::Extension;
use crate::ops::{self, NewUser, User, UserAction, UserResult};

/// Add, list and remove the accounts of people who use the page and the API
///
/// The first account closes the API: from then on every request needs a session or a token.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,

    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Add an account and print a link for its first sign-in, where its password is chosen
    Add {
        /// Name for the sign-in
        name: String,

        /// wallboard, agent, supervisor, integrator or admin
        #[arg(long, value_parser = parse_role, default_value = "agent")]
        role: Role,

        /// Limit the account to a site; may be repeated. All sites without it
        #[arg(long, value_name = "SITE")]
        site: Vec<String>,

        /// Name for other people
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,

        /// Extension of the person's phone
        #[arg(long)]
        extension: Option<String>,
    },
    /// Print a new link for a sign-in without a password
    Link {
        /// Name for the sign-in
        name: String,
    },
    /// List all accounts
    List,
    /// End the sessions of an account, and let none begin
    Disable {
        /// Name for the sign-in
        name: String,
    },
    /// Let an account sign in again
    Enable {
        /// Name for the sign-in
        name: String,
    },
    /// Remove an account
    Remove {
        /// Name for the sign-in
        name: String,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let action = match arguments.action {
        Action::Add {
            name,
            role,
            site,
            display_name,
            extension,
        } => UserAction::Add(NewUser {
            name: check_name(name)?,
            display_name,
            role,
            sites: sites(&site)?,
            extension: extension.as_deref().map(parse_extension).transpose()?,
        }),
        Action::Link { name } => UserAction::Link(name),
        Action::List => UserAction::List,
        Action::Disable { name } => UserAction::SetDisabled(name, true),
        Action::Enable { name } => UserAction::SetDisabled(name, false),
        Action::Remove { name } => UserAction::Remove(name),
    };

    let result = block_on(async { Ok(ops::change_users(&settings, action).await?) })?;

    let mut out = io::stdout().lock();
    match result {
        UserResult::Link(secret) => writeln!(
            out,
            "{}/sign-in#link={}\nThe link works once, within 24 hours.",
            base_of(&settings),
            secret.as_str()
        )?,
        UserResult::Done => {}
        UserResult::Users(users) => {
            for user in users {
                writeln!(out, "{}", line(&user))?;
            }
        }
    }

    Ok(())
}

fn parse_extension(text: &str) -> Result<Extension, Failure> {
    Extension::parse(text).ok_or_else(|| Failure::Usage(format!("{text:?} is no extension")))
}

/// The address under which people reach the page.
fn base_of(settings: &Settings) -> String {
    match settings.gateway.public_host() {
        Some(host) => format!("https://{host}"),
        None => format!("http://{}", settings.gateway.listen),
    }
}

fn line(user: &User) -> String {
    let state = match (&user.password, user.is_disabled) {
        (_, true) => "disabled",
        (None, false) => "no password yet",
        (Some(_), false) => "active",
    };
    let extension = user
        .extension
        .as_ref()
        .map_or_else(String::new, |extension| format!("  extension {extension}"));

    format!(
        "{}  {}  {}{extension}  {state}",
        user.name,
        user.role.name(),
        user.sites
    )
}
