//! From a credential to a principal.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use tokio::sync::Semaphore;

use super::attempts::{Attempts, OF_ADDRESS_MAX, OF_NAME_MAX};
use super::cookie;
use crate::access::{Identity, PasswordHash, Principal, SecretHash};
use crate::domain::text::PrivateText;
use crate::domain::time::{At, Span};
use crate::port::accounts::{Accounts, ApiToken, AuditEntry, SecretKind, User, UserSecret};
use crate::port::clock::Clock;
use crate::port::error::LedgerError;

/// A session that is not used for so long is over.
pub(super) const IDLE_MAX: Span = Span::seconds(12 * 3_600);
/// The use of a session is noted at most this often.
const TOUCH_EVERY: Span = Span::seconds(5 * 60);
/// While no account exists, the database is asked for one at most this often.
const ASK_EVERY: Span = Span::seconds(1);
/// The credential of an open stream is checked again this often.
const RECHECK_EVERY: Duration = Duration::from_mins(1);
/// Passwords checked at the same time: each takes 19 MiB and a processor.
const HASHING_MAX: usize = 2;
/// Half a second of work: further requests are refused instead of waiting.
const HASHING_QUEUE_MAX: usize = 20;

/// The way in which a request proves who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// None, where none is needed.
    Open,
    Session(SecretHash),
    Token(SecretHash),
}

/// The accounts of a gateway, and how they are checked.
pub struct Access {
    pub accounts: Arc<dyn Accounts>,
    pub clock: Arc<dyn Clock>,
    /// Without any account everything is open.
    is_open_allowed: bool,
    /// Once true it stays: the last account may be removed, and nothing opens by that.
    has_accounts: AtomicBool,
    asked_at: AtomicI64,
    pub(super) attempts: Attempts,
    pub(super) attempts_of_addresses: Attempts,
    hashing: Semaphore,
    /// Passwords that are checked or wait for it.
    hashing_queue: Semaphore,
}

/// More passwords wait to be checked than can be in a moment.
#[derive(Debug)]
pub(super) struct Busy;

/// Compared where a name is unknown: the answer takes as long as with a known one.
static NO_PASSWORD: LazyLock<PasswordHash> =
    LazyLock::new(|| PasswordHash::of("no account has this password"));

impl Access {
    #[must_use]
    pub fn new(
        accounts: Arc<dyn Accounts>,
        clock: Arc<dyn Clock>,
        is_open_allowed: bool,
    ) -> Access {
        Access {
            accounts,
            clock,
            is_open_allowed,
            has_accounts: AtomicBool::new(false),
            asked_at: AtomicI64::new(i64::MIN),
            attempts: Attempts::new(OF_NAME_MAX),
            attempts_of_addresses: Attempts::new(OF_ADDRESS_MAX),
            hashing: Semaphore::new(HASHING_MAX),
            hashing_queue: Semaphore::new(HASHING_QUEUE_MAX),
        }
    }

    /// The credential of a request with its principal.
    pub(super) async fn identified(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<(Credential, Principal)>, LedgerError> {
        let Some(credential) = self.credential(headers).await? else {
            return Ok(None);
        };
        let principal = self.principal(&credential).await?;

        Ok(principal.map(|principal| (credential, principal)))
    }

    /// The credential of a request; `None` where it has none and one is needed.
    pub(in crate::gateway) async fn credential(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<Credential>, LedgerError> {
        let bearer = headers
            .get(AUTHORIZATION)
            .and_then(|header| header.to_str().ok())
            .and_then(|text| text.strip_prefix("Bearer "));
        if let Some(secret) = bearer {
            return Ok(SecretHash::of(secret.trim()).map(Credential::Token));
        }
        if let Some(secret) = cookie::read(headers).and_then(SecretHash::of) {
            return Ok(Some(Credential::Session(secret)));
        }

        let is_open = self.is_open_allowed && !self.has_accounts().await?;
        Ok(is_open.then_some(Credential::Open))
    }

    /// The principal behind a credential; `None` when it is not valid, or no longer.
    pub async fn principal(
        &self,
        credential: &Credential,
    ) -> Result<Option<Principal>, LedgerError> {
        match credential {
            Credential::Open => Ok((!self.has_accounts().await?).then(Principal::open)),
            Credential::Token(hash) => Ok(self.accounts.token(hash).await?.map(of_token)),
            Credential::Session(hash) => self.principal_of_session(hash).await,
        }
    }

    async fn principal_of_session(
        &self,
        hash: &SecretHash,
    ) -> Result<Option<Principal>, LedgerError> {
        let now = self.clock.now();
        let found = self.accounts.secret(hash, SecretKind::Session).await?;
        let Some((session, user)) = found.filter(|(session, user)| {
            now < session.expires_at && now - session.used_at < IDLE_MAX && !user.is_disabled
        }) else {
            return Ok(None);
        };

        if now - session.used_at >= TOUCH_EVERY {
            self.accounts
                .touch_secret(hash, now, session.reveals_until)
                .await?;
        }

        let reveals = is_revealing(&session, now);
        Ok(Some(of_user(user, reveals)))
    }

    /// Waits until the credential of a stream is not valid any more, or gives other rights than those
    /// that the stream began with. A database that is away ends no stream.
    pub(in crate::gateway) async fn until_changed(
        &self,
        credential: &Credential,
        principal: &Principal,
    ) {
        loop {
            tokio::time::sleep(RECHECK_EVERY).await;
            if !is_still(&self.principal(credential).await, principal) {
                return;
            }
        }
    }

    /// Whether a user or token exists.
    pub async fn has_accounts(&self) -> Result<bool, LedgerError> {
        if self.has_accounts.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let now = self.clock.steady();
        let asked_at = self.asked_at.load(Ordering::Relaxed);
        if asked_at != i64::MIN && now.0.saturating_sub(asked_at) < ASK_EVERY.0 {
            return Ok(false);
        }

        let has_accounts = self.accounts.has_accounts().await?;
        if has_accounts {
            self.has_accounts.store(true, Ordering::Relaxed);
        }
        self.asked_at.store(now.0, Ordering::Relaxed);

        Ok(has_accounts)
    }

    /// Checks a password on a thread for such work.
    pub(super) async fn is_password_of(
        &self,
        user: Option<&User>,
        password: String,
    ) -> Result<bool, Busy> {
        let stored = user.and_then(|user| user.password.clone());

        self.hashed(move || {
            let is_known = stored.is_some();
            // Without an account only the time counts.
            let matches = stored.as_ref().unwrap_or(&NO_PASSWORD).matches(&password);
            is_known && matches
        })
        .await
    }

    pub(super) async fn hash_password(&self, password: String) -> Result<PasswordHash, Busy> {
        self.hashed(move || PasswordHash::of(&password)).await
    }

    /// Runs the work of a password when its turn comes, unless too many wait.
    async fn hashed<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let _place = self.hashing_queue.try_acquire().map_err(|_| Busy)?;
        // The semaphore is never closed.
        let _permit = self.hashing.acquire().await.map_err(|_| Busy)?;

        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }

    /// Adds a line to the audit log. What was done is not undone by a database that is away; the
    /// line is missing then, and the log of the program says so.
    pub(in crate::gateway) async fn audit(&self, who: &str, action: &str, object: Option<&str>) {
        let entry = AuditEntry {
            at: self.clock.now(),
            who: who.to_owned(),
            action: action.to_owned(),
            object: object.map(PrivateText::from),
        };

        if let Err(error) = self.accounts.record(&entry).await {
            tracing::warn!(
                error = %crate::chain::Chain(&error), action,
                "audit line not stored"
            );
        }
    }
}

pub(super) fn is_revealing(session: &UserSecret, now: At) -> bool {
    session.reveals_until.is_some_and(|until| now < until)
}

fn of_token(token: ApiToken) -> Principal {
    Principal {
        identity: Identity::Token(token.name),
        display_name: None,
        role: token.role,
        sites: token.sites,
        extension: None,
        has_revealed: false,
    }
}

pub(super) fn of_user(user: User, reveals: bool) -> Principal {
    Principal {
        identity: Identity::User(user.name),
        display_name: user.display_name.as_deref().map(ToOwned::to_owned),
        role: user.role,
        sites: user.sites,
        extension: user.extension,
        has_revealed: reveals && user.role.rights().contains(&crate::access::Right::Reveal),
    }
}
/// Whether a credential gives the same rights as before.
fn is_still(current: &Result<Option<Principal>, LedgerError>, before: &Principal) -> bool {
    current
        .as_ref()
        .map_or(true, |current| current.as_ref() == Some(before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;

    #[test]
    fn a_stream_goes_on_with_the_rights_it_began_with_only() {
        let before = Principal::open();
        let masked = Principal {
            role: Role::Wallboard,
            ..before.clone()
        };
        let revealed = Principal {
            has_revealed: !before.has_revealed,
            ..before.clone()
        };

        assert!(is_still(&Ok(Some(before.clone())), &before));
        assert!(is_still(&Err(LedgerError::Fenced), &before));
        for changed in [None, Some(masked), Some(revealed)] {
            assert!(!is_still(&Ok(changed), &before));
        }
    }
}
