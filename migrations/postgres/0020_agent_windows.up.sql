-- The windows of agents, by the gateway that serves them. A gateway that has died says nothing any
-- more: its windows count as closed after a while.
CREATE TABLE agent_windows (
    gateway   text NOT NULL,
    site      text NOT NULL,
    extension text NOT NULL,
    is_open   smallint NOT NULL,
    seen_at   bigint NOT NULL,
    PRIMARY KEY (gateway, site, extension)
);
CREATE INDEX agent_windows_by_site ON agent_windows (site);
