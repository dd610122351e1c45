-- Agents who take no calls of helplines for a while.
CREATE TABLE agent_pauses (
    site      text NOT NULL,
    extension text NOT NULL,
    reason    text,
    since     bigint NOT NULL,
    PRIMARY KEY (site, extension)
);
