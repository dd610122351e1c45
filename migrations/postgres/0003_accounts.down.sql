DROP TABLE audit_log;
DROP TABLE api_tokens;
CREATE TABLE api_tokens (
    token_hash text PRIMARY KEY,
    name       text NOT NULL,
    role       text NOT NULL,
    created_at bigint NOT NULL
);
DROP TABLE user_secrets;
DROP TABLE users;
