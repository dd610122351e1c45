-- The windows of agents, by the gateway that serves them. A gateway that has died says nothing any
-- more: its windows count as closed after a while.
CREATE TABLE agent_windows (
    gateway   TEXT NOT NULL,
    site      TEXT NOT NULL,
    extension TEXT NOT NULL,
    is_open   INTEGER NOT NULL,
    seen_at   INTEGER NOT NULL,
    PRIMARY KEY (gateway, site, extension)
) STRICT, WITHOUT ROWID;
CREATE INDEX agent_windows_by_site ON agent_windows (site);
