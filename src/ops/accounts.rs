//! Accounts of people and tokens of programs, made on the machine of the service.

use crate::access::{Role, Secret, SiteScope};
use crate::adapter::postgres::{PartitionAddress, PostgresLedger, readers};
use crate::adapter::sqlite::SqliteLedger;
use crate::config::Settings;
use crate::domain::device::Extension;
use crate::domain::text::PrivateText;
use crate::domain::time::At;
use crate::port::accounts::{Accounts, ApiToken, AuditEntry, User, UserSecret};
use crate::setup::{DatabaseAddress, SetupError, database, layout, machine_clock, open_ledger_of};

/// The name of the command line in the audit log.
const COMMAND_LINE: &str = "command line";

/// A new account, or the new form of one.
#[derive(Clone, Debug)]
pub struct NewUser {
    pub name: String,
    pub display_name: Option<String>,
    pub role: Role,
    pub sites: SiteScope,
    pub extension: Option<Extension>,
}

/// What to do with the accounts.
#[derive(Clone, Debug)]
pub enum UserAction {
    Add(NewUser),
    /// A new link for a user who has lost the password.
    Link(String),
    /// Ends the sessions of a user, and lets none begin; or lets them begin again.
    SetDisabled(String, bool),
    Remove(String),
    List,
}

/// The result of an action.
pub enum UserResult {
    /// The secret of a link that works once.
    Link(Secret),
    Done,
    Users(Vec<User>),
}

/// What to do with the tokens.
#[derive(Clone, Debug)]
pub enum TokenAction {
    Create {
        name: String,
        role: Role,
        sites: SiteScope,
    },
    Revoke(String),
    List,
}

/// The result of an action.
pub enum TokenResult {
    /// The token; it is shown this once.
    Created(Secret),
    Done,
    Tokens(Vec<ApiToken>),
}

/// Why accounts stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("the name {0:?} is taken")]
    Taken(String),
    #[error("there is no {0:?}")]
    Unknown(String),
    #[error("{0:?} was changed or removed meanwhile; try again")]
    Changed(String),
}

impl From<crate::port::error::LedgerError> for AccountError {
    fn from(error: crate::port::error::LedgerError) -> AccountError {
        SetupError::from(error).into()
    }
}

/// Acts on the accounts of people.
///
/// # Errors
/// When the database cannot be reached, or the name is not right.
pub async fn change_users(
    settings: &Settings,
    action: UserAction,
) -> Result<UserResult, AccountError> {
    let store = Store::open(settings).await?;
    let result = act_on_users(store.accounts(), action).await;
    store.close().await;

    result
}

async fn act_on_users(
    accounts: &dyn Accounts,
    action: UserAction,
) -> Result<UserResult, AccountError> {
    let now = machine_clock().now();

    match action {
        UserAction::List => Ok(UserResult::Users(accounts.users().await?)),
        UserAction::Add(new) => {
            let name = new.name.clone();
            let user = User {
                name: new.name,
                display_name: new.display_name.as_deref().map(PrivateText::from),
                role: new.role,
                sites: new.sites,
                extension: new.extension,
                password: None,
                is_disabled: false,
            };
            if !accounts.add_user(&user).await? {
                return Err(AccountError::Taken(name));
            }
            audit(accounts, now, "user_added", &name).await?;
            Ok(UserResult::Link(link(accounts, &name, now).await?))
        }
        UserAction::Link(name) => {
            existing(accounts, &name).await?;
            audit(accounts, now, "link_made", &name).await?;
            Ok(UserResult::Link(link(accounts, &name, now).await?))
        }
        UserAction::SetDisabled(name, is_disabled) => {
            let before = existing(accounts, &name).await?;
            let user = User {
                is_disabled,
                ..before.clone()
            };
            if !accounts.update_user(&before, &user).await? {
                return Err(AccountError::Changed(name));
            }
            if is_disabled {
                accounts.remove_secrets(&name, None).await?;
            }
            let done = if is_disabled {
                "user_disabled"
            } else {
                "user_enabled"
            };
            audit(accounts, now, done, &name).await?;
            Ok(UserResult::Done)
        }
        UserAction::Remove(name) => {
            if !accounts.remove_user(&name).await? {
                return Err(AccountError::Unknown(name));
            }
            audit(accounts, now, "user_removed", &name).await?;
            Ok(UserResult::Done)
        }
    }
}

async fn existing(accounts: &dyn Accounts, name: &str) -> Result<User, AccountError> {
    let user = accounts.user(name).await?;

    user.ok_or_else(|| AccountError::Unknown(name.to_owned()))
}

async fn link(accounts: &dyn Accounts, name: &str, now: At) -> Result<Secret, AccountError> {
    let (secret, stored) = UserSecret::link(name, None, now);
    if accounts.add_secret(&stored).await? {
        Ok(secret)
    } else {
        Err(AccountError::Unknown(name.to_owned()))
    }
}

/// Acts on the tokens of programs.
///
/// # Errors
/// When the database cannot be reached, or the name is not right.
pub async fn change_tokens(
    settings: &Settings,
    action: TokenAction,
) -> Result<TokenResult, AccountError> {
    let store = Store::open(settings).await?;
    let result = act_on_tokens(store.accounts(), action).await;
    store.close().await;

    result
}

async fn act_on_tokens(
    accounts: &dyn Accounts,
    action: TokenAction,
) -> Result<TokenResult, AccountError> {
    let now = machine_clock().now();

    match action {
        TokenAction::List => Ok(TokenResult::Tokens(accounts.tokens().await?)),
        TokenAction::Create { name, role, sites } => {
            let (secret, token) = ApiToken::create(&name, role, sites, now);
            if !accounts.add_token(&token).await? {
                return Err(AccountError::Taken(name));
            }
            audit(accounts, now, "token_created", &name).await?;
            Ok(TokenResult::Created(secret))
        }
        TokenAction::Revoke(name) => {
            if !accounts.revoke_token(&name, now).await? {
                return Err(AccountError::Unknown(name));
            }
            audit(accounts, now, "token_revoked", &name).await?;
            Ok(TokenResult::Done)
        }
    }
}

async fn audit(
    accounts: &dyn Accounts,
    now: At,
    action: &str,
    object: &str,
) -> Result<(), AccountError> {
    let entry = AuditEntry {
        at: now,
        who: COMMAND_LINE.to_owned(),
        action: action.to_owned(),
        object: Some(object.into()),
    };

    Ok(accounts.record(&entry).await?)
}

/// The database of the settings.
enum Store {
    File(Box<SqliteLedger>),
    Server(Box<PostgresLedger>),
}

impl Store {
    /// Opens the database. A new file gets its tables: the first account may come before the first
    /// start.
    async fn open(settings: &Settings) -> Result<Store, SetupError> {
        let path = match database(settings)? {
            DatabaseAddress::File(path) => path,
            DatabaseAddress::Server(address) => {
                let partition = PartitionAddress::of(layout(settings), 0);
                let ledger = PostgresLedger::new(&address, readers(&address), partition);
                return Ok(Store::Server(Box::new(ledger)));
            }
        };

        let ledger = open_ledger_of(settings, &path).await?;
        ledger.migrate().await?;
        Ok(Store::File(Box::new(ledger)))
    }

    fn accounts(&self) -> &dyn Accounts {
        match self {
            Store::File(ledger) => ledger.as_ref(),
            Store::Server(ledger) => ledger.as_ref(),
        }
    }

    async fn close(self) {
        match self {
            Store::File(ledger) => ledger.close().await,
            Store::Server(ledger) => ledger.close().await,
        }
    }
}
