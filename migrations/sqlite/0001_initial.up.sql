-- Instants are microseconds since 1970-01-01T00:00:00Z; spans are microseconds.

CREATE TABLE sites (
    site       TEXT PRIMARY KEY,
    first_seen INTEGER NOT NULL
) STRICT;

-- Facts: append-only, the truth that everything else is made from.
CREATE TABLE call_events (
    event_id    TEXT PRIMARY KEY,
    site        TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    event       TEXT NOT NULL,
    device      TEXT NOT NULL,
    extension   TEXT,
    remote      TEXT,
    remote_e164 TEXT,
    call_ref    TEXT,
    -- The envelope as it was received, to be read again when we understand more.
    envelope    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX call_events_by_time ON call_events (site, received_at);

-- One row per call that is not over, in the form other programs know.
CREATE TABLE call_states (
    call_id       TEXT PRIMARY KEY,
    session_id    TEXT,
    provider      TEXT NOT NULL,
    site          TEXT NOT NULL,
    direction     TEXT NOT NULL,
    status        TEXT NOT NULL,
    from_number   TEXT,
    to_number     TEXT,
    call_metadata TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    ended_at      INTEGER
) STRICT;

-- One row per call.
CREATE TABLE call_logs (
    call_id      TEXT PRIMARY KEY,
    site         TEXT NOT NULL,
    direction    TEXT NOT NULL,
    status       TEXT NOT NULL,
    outcome      TEXT,
    from_number  TEXT,
    from_e164    TEXT,
    to_number    TEXT,
    to_e164      TEXT,
    answered_by  TEXT,
    started_at   INTEGER NOT NULL,
    answered_at  INTEGER,
    ended_at     INTEGER,
    ring_us      INTEGER,
    talk_us      INTEGER NOT NULL,
    total_us     INTEGER,
    -- Nothing that may still come can change it.
    is_final     INTEGER NOT NULL,
    -- The whole record as the interfaces show it.
    record       TEXT NOT NULL
) STRICT;
CREATE INDEX call_logs_by_time ON call_logs (started_at DESC, call_id);
CREATE INDEX call_logs_by_site ON call_logs (site, started_at DESC);
CREATE INDEX call_logs_open ON call_logs (site, started_at) WHERE is_final = 0;

CREATE TABLE call_participants (
    call_id     TEXT NOT NULL REFERENCES call_logs (call_id) ON DELETE CASCADE,
    place       INTEGER NOT NULL,
    extension   TEXT,
    device      TEXT NOT NULL,
    role        TEXT NOT NULL,
    rang_at     INTEGER,
    answered_at INTEGER,
    left_at     INTEGER,
    outcome     TEXT NOT NULL,
    PRIMARY KEY (call_id, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX call_participants_by_extension ON call_participants (extension, call_id);

CREATE TABLE call_links (
    call_id        TEXT NOT NULL REFERENCES call_logs (call_id) ON DELETE CASCADE,
    linked_call_id TEXT NOT NULL,
    kind           TEXT NOT NULL,
    confidence     TEXT NOT NULL,
    reason         TEXT NOT NULL,
    -- By hand: no rule removes it.
    by_hand        INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (call_id, linked_call_id, kind)
) STRICT, WITHOUT ROWID;

-- One row per unanswered call, with every extension that rang.
CREATE TABLE missed_call_logs (
    call_id      TEXT PRIMARY KEY,
    site         TEXT NOT NULL,
    from_number  TEXT,
    from_e164    TEXT,
    extensions   TEXT NOT NULL,
    missed_at    INTEGER NOT NULL,
    -- The call was answered after all.
    retracted    INTEGER NOT NULL DEFAULT 0,
    desk_status  TEXT NOT NULL DEFAULT 'open',
    assigned_to  TEXT
) STRICT;
CREATE INDEX missed_call_logs_by_time ON missed_call_logs (missed_at DESC);

-- Always what the logs of the hour say; never counted up.
CREATE TABLE call_stats (
    site      TEXT NOT NULL,
    hour      INTEGER NOT NULL,
    direction TEXT NOT NULL,
    calls     INTEGER NOT NULL,
    answered  INTEGER NOT NULL,
    missed    INTEGER NOT NULL,
    ring_us   INTEGER NOT NULL,
    talk_us   INTEGER NOT NULL,
    PRIMARY KEY (site, hour, direction)
) STRICT, WITHOUT ROWID;

CREATE TABLE devices (
    site      TEXT NOT NULL,
    device    TEXT NOT NULL,
    last_seen INTEGER NOT NULL,
    state     TEXT,
    PRIMARY KEY (site, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE extensions (
    site         TEXT NOT NULL,
    extension    TEXT NOT NULL,
    first_report INTEGER NOT NULL,
    PRIMARY KEY (site, extension)
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
    agent     TEXT PRIMARY KEY,
    site      TEXT NOT NULL,
    extension TEXT,
    name      TEXT
) STRICT;

CREATE TABLE transfer_contexts (
    transfer_id      TEXT PRIMARY KEY,
    original_call_id TEXT NOT NULL,
    context          TEXT NOT NULL,
    initiated_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE api_tokens (
    token_hash TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Messages that hold no fact, as they came.
CREATE TABLE dead_events (
    id      INTEGER PRIMARY KEY,
    digest  TEXT NOT NULL UNIQUE,
    reason  TEXT NOT NULL,
    message BLOB NOT NULL
) STRICT;

-- Who may write: the last owner. Whoever finds another one here has lost the partition.
CREATE TABLE partition_owner (
    part      INTEGER PRIMARY KEY,
    epoch     INTEGER NOT NULL,
    owner     TEXT NOT NULL,
    watermark INTEGER NOT NULL
) STRICT;
