-- Agents who take no calls of helplines for a while.
CREATE TABLE agent_pauses (
    site      TEXT NOT NULL,
    extension TEXT NOT NULL,
    reason    TEXT,
    since     INTEGER NOT NULL,
    PRIMARY KEY (site, extension)
) STRICT, WITHOUT ROWID;

-- Of a ticket: the session that asked for it, and with which its socket ends.
ALTER TABLE user_secrets ADD COLUMN session_hash TEXT;
