//! Accounts on either database: the statements and columns are the same in both dialects, so the
//! implementation is written once. Each adapter has `execute` and `select` for its connections.

pub(in crate::adapter) const HAS_ACCOUNTS: &str = "-- has_accounts
    SELECT 1
    WHERE EXISTS (SELECT 1 FROM users)
        OR EXISTS (SELECT 1 FROM api_tokens)";

pub(in crate::adapter) const SELECT_USER: &str = "-- select_user
    SELECT name, display_name, role, sites, extension, password, is_disabled
    FROM users
    WHERE name = $1";

pub(in crate::adapter) const SELECT_USERS: &str = "-- select_users
    SELECT name, display_name, role, sites, extension, password, is_disabled
    FROM users
    ORDER BY name
    LIMIT 10000";

pub(in crate::adapter) const INSERT_USER: &str = "-- insert_user
    INSERT INTO users (name, display_name, role, sites, extension, is_disabled, password)
    SELECT $1, $2, $3, $4, $5, $6, $7
    WHERE NOT EXISTS (SELECT 1 FROM api_tokens WHERE name = $1)
    ON CONFLICT DO NOTHING";

pub(in crate::adapter) const UPDATE_USER: &str = "-- update_user
    UPDATE users
    SET display_name = $2,
        role = $3,
        sites = $4,
        extension = $5,
        is_disabled = $6
    WHERE name = $1
        AND display_name IS NOT DISTINCT FROM $7
        AND role = $8
        AND sites IS NOT DISTINCT FROM $9
        AND extension IS NOT DISTINCT FROM $10
        AND is_disabled = $11";

pub(in crate::adapter) const UPDATE_PASSWORD: &str = "-- update_password
    UPDATE users
    SET password = $2
    WHERE name = $1
        AND NOT is_disabled
        AND password IS NOT DISTINCT FROM $3
        AND EXISTS (
            SELECT 1
            FROM user_secrets
            WHERE secret_hash = $4
                AND kind = 'session'
                AND user_name = $1
        )";

pub(in crate::adapter) const LOCK_PASSWORD: &str = "-- lock_password
    UPDATE users
    SET password = $2
    WHERE name = $1";

pub(in crate::adapter) const DELETE_PASSWORD: &str = "-- delete_password
    UPDATE users
    SET password = NULL
    WHERE name = $1
        AND password = $2";

/// Kept answers are not for a later user of the name.
pub(in crate::adapter) const DELETE_ANSWERS: &str = "-- delete_answers_of_user
    DELETE FROM repeatable_requests
    WHERE owner = $1";

pub(in crate::adapter) const DELETE_USER: &str = "-- delete_user
    DELETE FROM users
    WHERE name = $1";

/// Stores a secret of a user that exists. `lock` keeps a removal of the user from coming between.
macro_rules! insert_secret {
    (lock: $lock:literal) => {
        concat!(
            "-- insert_user_secret
    INSERT INTO user_secrets (
        secret_hash, kind, user_name, created_at, used_at, expires_at, reveals_until, session_hash,
        made_by
    )
    SELECT $1, $2, name, $4, $5, $6, $7, $8, $9
    FROM users
    WHERE name = $3",
            $lock
        )
    };
}
pub(in crate::adapter) use insert_secret;

/// Stores a session while its user may sign in and has the password. `lock` keeps a change of the
/// password from coming between.
macro_rules! insert_session {
    (lock: $lock:literal) => {
        concat!(
            "-- insert_session
    INSERT INTO user_secrets (
        secret_hash, kind, user_name, created_at, used_at, expires_at, reveals_until, session_hash,
        made_by
    )
    SELECT $1, $2, name, $4, $5, $6, $7, $8, $9
    FROM users
    WHERE name = $3
        AND NOT is_disabled
        AND password IS NOT DISTINCT FROM $10",
            $lock
        )
    };
}
pub(in crate::adapter) use insert_session;

pub(in crate::adapter) const SELECT_SECRET: &str = "-- select_user_secret
    SELECT
        name, display_name, role, sites, extension, password, is_disabled,
        created_at, used_at, expires_at, reveals_until, session_hash, made_by
    FROM user_secrets
    JOIN users ON users.name = user_secrets.user_name
    WHERE secret_hash = $1
        AND kind = $2";

pub(in crate::adapter) const UPDATE_SECRET: &str = "-- touch_user_secret
    UPDATE user_secrets
    SET used_at = $2,
        reveals_until = $3
    WHERE secret_hash = $1";

pub(in crate::adapter) const DELETE_SECRET: &str = "-- delete_user_secret
    DELETE FROM user_secrets
    WHERE secret_hash = $1";

pub(in crate::adapter) const DELETE_EXPIRED_SECRETS: &str = "-- delete_expired_user_secrets
    DELETE FROM user_secrets
    WHERE expires_at < $1";

pub(in crate::adapter) const DELETE_SECRETS: &str = "-- delete_user_secrets
    DELETE FROM user_secrets
    WHERE (user_name = $1 OR made_by = $1)
        AND secret_hash <> $2";

/// Those that a removal of the user left behind when it broke off.
pub(in crate::adapter) const DELETE_SECRETS_WITHOUT_USER: &str = "-- delete_secrets_without_user
    DELETE FROM user_secrets
    WHERE (user_name = $1 OR made_by = $1)
        AND NOT EXISTS (SELECT 1 FROM users WHERE name = $1)";

pub(in crate::adapter) const INSERT_TOKEN: &str = "-- insert_api_token
    INSERT INTO api_tokens (name, token_hash, role, sites, created_at, revoked_at)
    SELECT $1, $2, $3, $4, $5, $6
    WHERE NOT EXISTS (SELECT 1 FROM users WHERE name = $1)
    ON CONFLICT DO NOTHING";

pub(in crate::adapter) const SELECT_TOKEN: &str = "-- select_api_token
    SELECT name, token_hash, role, sites, created_at, revoked_at
    FROM api_tokens
    WHERE token_hash = $1
        AND revoked_at IS NULL";

pub(in crate::adapter) const SELECT_TOKENS: &str = "-- select_api_tokens
    SELECT name, token_hash, role, sites, created_at, revoked_at
    FROM api_tokens
    ORDER BY name
    LIMIT 10000";

pub(in crate::adapter) const REVOKE_TOKEN: &str = "-- revoke_api_token
    UPDATE api_tokens
    SET revoked_at = $2
    WHERE name = $1
        AND revoked_at IS NULL";

pub(in crate::adapter) const INSERT_AUDIT: &str = "-- insert_audit_log
    INSERT INTO audit_log (at, who, action, object)
    VALUES ($1, $2, $3, $4)";

pub(in crate::adapter) const SELECT_AUDIT: &str = "-- select_audit_log
    SELECT at, who, action, object
    FROM audit_log
    ORDER BY id DESC
    LIMIT $1";

/// Binds the columns of a secret to the first parameters of a statement.
macro_rules! bind_secret {
    ($statement:expr, $secret:expr) => {
        $statement
            .bind($secret.hash.as_str())
            .bind($secret.kind.name())
            .bind(&$secret.user)
            .bind($secret.created_at.0)
            .bind($secret.used_at.0)
            .bind($secret.expires_at.0)
            .bind($secret.reveals_until.map(|at| at.0))
            .bind($secret.session.as_ref().map(SecretHash::as_str))
            .bind($secret.made_by.as_deref())
    };
}
pub(in crate::adapter) use bind_secret;

/// Implements [`Accounts`](crate::port::accounts::Accounts) for a ledger of this database.
macro_rules! implement_accounts {
    ($ledger:ty, $row:ty) => {
        use $crate::access::{PasswordHash, Role, Secret, SecretHash, SiteScope};
        use $crate::adapter::sql::accounts as statements;
        use $crate::domain::device::Extension;
        use $crate::domain::time::At;
        use $crate::port::accounts::{
            Accounts, ApiToken, AuditEntry, SecretKind, User, UserSecret,
        };
        use $crate::port::ledger::LedgerError;

        #[async_trait::async_trait]
        impl Accounts for $ledger {
            async fn has_accounts(&self) -> Result<bool, LedgerError> {
                let found = self.select(sqlx::query(statements::HAS_ACCOUNTS)).await?;

                Ok(!found.is_empty())
            }

            async fn user(&self, name: &str) -> Result<Option<User>, LedgerError> {
                let rows = self
                    .select(sqlx::query(statements::SELECT_USER).bind(name))
                    .await?;

                rows.first().map(user).transpose()
            }

            async fn users(&self) -> Result<Vec<User>, LedgerError> {
                let rows = self.select(sqlx::query(statements::SELECT_USERS)).await?;

                rows.iter().map(user).collect()
            }

            async fn add_user(&self, user: &User) -> Result<bool, LedgerError> {
                let delete = sqlx::query(statements::DELETE_SECRETS_WITHOUT_USER).bind(&user.name);
                self.execute(delete).await?;

                let insert = sqlx::query(statements::INSERT_USER)
                    .bind(&user.name)
                    .bind(user.display_name.as_deref())
                    .bind(user.role.name())
                    .bind(user.sites.to_column())
                    .bind(user.extension.as_ref().map(Extension::as_str))
                    .bind(user.is_disabled)
                    .bind(user.password.as_ref().map(PasswordHash::as_str));

                Ok(self.execute(insert).await? > 0)
            }

            async fn update_user(&self, before: &User, user: &User) -> Result<bool, LedgerError> {
                let mut update = sqlx::query(statements::UPDATE_USER).bind(&before.name);
                for user in [user, before] {
                    update = update
                        .bind(user.display_name.as_deref())
                        .bind(user.role.name())
                        .bind(user.sites.to_column())
                        .bind(user.extension.as_ref().map(Extension::as_str))
                        .bind(user.is_disabled);
                }

                Ok(self.execute(update).await? > 0)
            }

            async fn set_password(
                &self,
                name: &str,
                password: &PasswordHash,
                before: Option<&PasswordHash>,
                session: &SecretHash,
            ) -> Result<bool, LedgerError> {
                let update = sqlx::query(statements::UPDATE_PASSWORD)
                    .bind(name)
                    .bind(password.as_str())
                    .bind(before.map(PasswordHash::as_str))
                    .bind(session.as_str());

                Ok(self.execute(update).await? > 0)
            }

            async fn reset_user(&self, name: &str) -> Result<(), LedgerError> {
                // The hash of no password: from here on the old one begins no session, and no session sets
                // another.
                let lock = Secret::random("no password: ");
                let locked = sqlx::query(statements::LOCK_PASSWORD)
                    .bind(name)
                    .bind(lock.as_str());
                self.execute(locked).await?;
                self.remove_secrets(name, None).await?;
                let removed = sqlx::query(statements::DELETE_PASSWORD)
                    .bind(name)
                    .bind(lock.as_str());
                self.execute(removed).await?;

                Ok(())
            }

            async fn remove_user(&self, name: &str) -> Result<bool, LedgerError> {
                let removed = self
                    .execute(sqlx::query(statements::DELETE_USER).bind(name))
                    .await?;
                // Without the user no further ones are stored.
                self.remove_secrets(name, None).await?;
                let answers = sqlx::query(statements::DELETE_ANSWERS).bind(name);
                self.execute(answers).await?;

                Ok(removed > 0)
            }

            async fn add_secret(&self, secret: &UserSecret) -> Result<bool, LedgerError> {
                let insert = sqlx::query(INSERT_SECRET);
                let insert = $crate::adapter::sql::accounts::bind_secret!(insert, secret);

                Ok(self.execute(insert).await? > 0)
            }

            async fn add_session(
                &self,
                session: &UserSecret,
                password: Option<&PasswordHash>,
            ) -> Result<bool, LedgerError> {
                let insert = sqlx::query(INSERT_SESSION);
                let insert = $crate::adapter::sql::accounts::bind_secret!(insert, session)
                    .bind(password.map(PasswordHash::as_str));

                Ok(self.execute(insert).await? > 0)
            }

            async fn secret(
                &self,
                hash: &SecretHash,
                kind: SecretKind,
            ) -> Result<Option<(UserSecret, User)>, LedgerError> {
                let select = sqlx::query(statements::SELECT_SECRET)
                    .bind(hash.as_str())
                    .bind(kind.name());
                let rows = self.select(select).await?;
                let Some(row) = rows.first() else {
                    return Ok(None);
                };

                let user = user(row)?;
                let secret = UserSecret {
                    hash: hash.clone(),
                    kind,
                    user: user.name.clone(),
                    created_at: At(row.get(7)),
                    used_at: At(row.get(8)),
                    expires_at: At(row.get(9)),
                    reveals_until: row.get::<Option<i64>, _>(10).map(At),
                    session: row
                        .get::<Option<String>, _>(11)
                        .map(SecretHash::from_column),
                    made_by: row.get(12),
                };
                Ok(Some((secret, user)))
            }

            async fn touch_secret(
                &self,
                hash: &SecretHash,
                used_at: At,
                reveals_until: Option<At>,
            ) -> Result<(), LedgerError> {
                let update = sqlx::query(statements::UPDATE_SECRET)
                    .bind(hash.as_str())
                    .bind(used_at.0)
                    .bind(reveals_until.map(|at| at.0));
                self.execute(update).await?;

                Ok(())
            }

            async fn remove_secret(&self, hash: &SecretHash) -> Result<bool, LedgerError> {
                let delete = sqlx::query(statements::DELETE_SECRET).bind(hash.as_str());

                Ok(self.execute(delete).await? > 0)
            }

            async fn remove_expired(&self, now: At) -> Result<(), LedgerError> {
                let delete = sqlx::query(statements::DELETE_EXPIRED_SECRETS).bind(now.0);
                self.execute(delete).await?;

                Ok(())
            }

            async fn remove_secrets(
                &self,
                user: &str,
                kept: Option<&SecretHash>,
            ) -> Result<(), LedgerError> {
                let delete = sqlx::query(statements::DELETE_SECRETS)
                    .bind(user)
                    .bind(kept.map_or("", SecretHash::as_str));
                self.execute(delete).await?;

                Ok(())
            }

            async fn add_token(&self, token: &ApiToken) -> Result<bool, LedgerError> {
                let insert = sqlx::query(statements::INSERT_TOKEN)
                    .bind(&token.name)
                    .bind(token.hash.as_str())
                    .bind(token.role.name())
                    .bind(token.sites.to_column())
                    .bind(token.created_at.0)
                    .bind(token.revoked_at.map(|at| at.0));

                Ok(self.execute(insert).await? > 0)
            }

            async fn token(&self, hash: &SecretHash) -> Result<Option<ApiToken>, LedgerError> {
                let select = sqlx::query(statements::SELECT_TOKEN).bind(hash.as_str());
                let rows = self.select(select).await?;

                rows.first().map(token).transpose()
            }

            async fn tokens(&self) -> Result<Vec<ApiToken>, LedgerError> {
                let rows = self.select(sqlx::query(statements::SELECT_TOKENS)).await?;

                rows.iter().map(token).collect()
            }

            async fn revoke_token(&self, name: &str, now: At) -> Result<bool, LedgerError> {
                let update = sqlx::query(statements::REVOKE_TOKEN).bind(name).bind(now.0);

                Ok(self.execute(update).await? > 0)
            }

            async fn audit_entries(&self, max: u32) -> Result<Vec<AuditEntry>, LedgerError> {
                let select = sqlx::query(statements::SELECT_AUDIT).bind(i64::from(max));
                let rows = self.select(select).await?;

                let entries = rows.iter().map(|row| AuditEntry {
                    at: At(row.get(0)),
                    who: row.get(1),
                    action: row.get(2),
                    object: row.get::<Option<&str>, _>(3).map(Into::into),
                });
                Ok(entries.collect())
            }

            async fn record(&self, entry: &AuditEntry) -> Result<(), LedgerError> {
                let insert = sqlx::query(statements::INSERT_AUDIT)
                    .bind(entry.at.0)
                    .bind(&entry.who)
                    .bind(&entry.action)
                    .bind(entry.object.as_deref());
                self.execute(insert).await?;

                Ok(())
            }
        }

        fn user(row: &$row) -> Result<User, LedgerError> {
            Ok(User {
                name: row.get(0),
                display_name: row.get::<Option<&str>, _>(1).map(Into::into),
                role: role(row.get(2))?,
                sites: SiteScope::from_column(row.get(3)),
                extension: row.get::<Option<&str>, _>(4).and_then(Extension::parse),
                password: row
                    .get::<Option<String>, _>(5)
                    .map(PasswordHash::from_column),
                is_disabled: row.get(6),
            })
        }

        fn token(row: &$row) -> Result<ApiToken, LedgerError> {
            Ok(ApiToken {
                name: row.get(0),
                hash: SecretHash::from_column(row.get(1)),
                role: role(row.get(2))?,
                sites: SiteScope::from_column(row.get(3)),
                created_at: At(row.get(4)),
                revoked_at: row.get::<Option<i64>, _>(5).map(At),
            })
        }

        /// An unknown role is not taken for any other.
        fn role(name: &str) -> Result<Role, LedgerError> {
            Role::parse(name)
                .ok_or_else(|| LedgerError::Corrupt("the role of an account is unknown".into()))
        }
    };
}
pub(in crate::adapter) use implement_accounts;
