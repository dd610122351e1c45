DROP TABLE audit_log;
DROP TABLE api_tokens;
CREATE TABLE api_tokens (
    token_hash TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
DROP TABLE user_secrets;
DROP TABLE users;
