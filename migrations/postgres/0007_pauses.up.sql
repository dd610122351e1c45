-- Agents who take no calls of helplines for a while.
CREATE TABLE agent_pauses (
    site      text NOT NULL,
    extension text NOT NULL,
    reason    text,
    since     bigint NOT NULL,
    PRIMARY KEY (site, extension)
);

-- Of a ticket: the session that asked for it, and with which its socket ends.
ALTER TABLE user_secrets ADD COLUMN session_hash text;
