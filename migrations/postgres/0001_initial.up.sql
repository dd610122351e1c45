-- Instants are microseconds since 1970-01-01T00:00:00Z; spans are microseconds. The view `calls` at the end shows them as PostgreSQL does.

CREATE TABLE sites (
    site       text PRIMARY KEY,
    first_seen bigint NOT NULL
);

-- Facts: append-only, the truth that everything else is made from. One partition for each month; what belongs to none of them is kept
-- in `call_events_other`, so that nothing is ever refused for want of one.
CREATE TABLE call_events (
    event_id    uuid NOT NULL,
    site        text NOT NULL,
    received_at bigint NOT NULL,
    event       text NOT NULL,
    device      text NOT NULL,
    extension   text,
    remote      text,
    remote_e164 text,
    call_ref    text,
    -- The envelope as it was received, to be read again when we understand more.
    envelope    text NOT NULL,
    PRIMARY KEY (site, received_at, event_id)
) PARTITION BY RANGE (received_at);
CREATE TABLE call_events_other PARTITION OF call_events DEFAULT;

-- One row per call that is not over, in the form other programs know, and per call that other programs registered.
CREATE TABLE call_states (
    call_id       text PRIMARY KEY,
    session_id    text,
    provider      text NOT NULL,
    site          text NOT NULL,
    direction     text NOT NULL,
    status        text NOT NULL,
    from_number   text,
    to_number     text,
    call_metadata json NOT NULL,
    created_at    bigint NOT NULL,
    updated_at    bigint NOT NULL,
    ended_at      bigint,
    -- The call among our logs, if it is one of ours; and whether something that is still to come can change it.
    our_call      uuid,
    is_open       boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
CREATE INDEX call_states_by_session ON call_states (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX call_states_open ON call_states (created_at) WHERE ended_at IS NULL;
CREATE INDEX call_states_ours ON call_states (site) WHERE is_open;

-- One row per call.
CREATE TABLE call_logs (
    call_id     uuid PRIMARY KEY,
    site        text NOT NULL,
    direction   text NOT NULL,
    status      text NOT NULL,
    outcome     text,
    from_number text,
    from_e164   text,
    to_number   text,
    to_e164     text,
    answered_by text,
    started_at  bigint NOT NULL,
    answered_at bigint,
    ended_at    bigint,
    ring_us     bigint,
    talk_us     bigint NOT NULL,
    total_us    bigint,
    -- The whole record as the interfaces show it.
    record      json NOT NULL
-- A call is written several times while it goes on: with room on its page, and nothing indexed that changes then, no index has to follow.
-- Which calls something still to come can change, `call_states` knows.
) WITH (fillfactor = 70);
CREATE INDEX call_logs_by_time ON call_logs (started_at DESC, call_id DESC);
CREATE INDEX call_logs_by_site ON call_logs (site, started_at DESC, call_id DESC);
CREATE INDEX call_logs_by_direction ON call_logs (direction, started_at DESC, call_id DESC);
CREATE INDEX call_logs_by_from ON call_logs (from_number, started_at DESC, call_id DESC);
CREATE INDEX call_logs_by_to ON call_logs (to_number, started_at DESC, call_id DESC);
-- Where a number was sent in its international form it is found as it was sent.
CREATE INDEX call_logs_by_from_e164 ON call_logs (from_e164, started_at DESC, call_id DESC) WHERE from_e164 IS DISTINCT FROM from_number;
CREATE INDEX call_logs_by_to_e164 ON call_logs (to_e164, started_at DESC, call_id DESC) WHERE to_e164 IS DISTINCT FROM to_number;

-- What became of calls, to find those of one kind among many others: the outcome comes last of all, and would change the indexes of a log.
CREATE TABLE call_outcomes (
    outcome    text NOT NULL,
    started_at bigint NOT NULL,
    call_id    uuid NOT NULL,
    site       text NOT NULL,
    ended_at   bigint NOT NULL,
    -- With the site at its end the index also leads through the calls of one site, past those of others.
    PRIMARY KEY (outcome, started_at, call_id, site)
);
-- Calls that ended a moment ago, for the next owner of their partition.
CREATE INDEX call_outcomes_by_end ON call_outcomes (site, ended_at);

-- No foreign keys from here on: the transaction that writes a call writes everything of it, and a check per row would only cost.
CREATE TABLE call_participants (
    call_id     uuid NOT NULL,
    place       integer NOT NULL,
    -- Of the call, to find the last ones of an extension.
    site        text NOT NULL,
    started_at  bigint NOT NULL,
    extension   text,
    device      text NOT NULL,
    role        text NOT NULL,
    rang_at     bigint,
    answered_at bigint,
    left_at     bigint,
    outcome     text NOT NULL,
    PRIMARY KEY (call_id, place)
) WITH (fillfactor = 70);
CREATE INDEX call_participants_by_extension ON call_participants (extension, started_at DESC, call_id DESC, site);

CREATE TABLE call_links (
    call_id        uuid NOT NULL,
    linked_call_id uuid NOT NULL,
    kind           text NOT NULL,
    confidence     text NOT NULL,
    reason         text NOT NULL,
    -- By hand: no rule removes it.
    by_hand        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (call_id, linked_call_id, kind)
);

-- One row per unanswered call, with every extension that rang.
CREATE TABLE missed_call_logs (
    call_id     uuid PRIMARY KEY,
    site        text NOT NULL,
    from_number text,
    from_e164   text,
    extensions  json NOT NULL,
    missed_at   bigint NOT NULL,
    -- The call was answered after all.
    retracted   boolean NOT NULL DEFAULT false,
    desk_status text NOT NULL DEFAULT 'open',
    assigned_to text
);
CREATE INDEX missed_call_logs_by_time ON missed_call_logs (missed_at DESC, call_id DESC) WHERE NOT retracted;

-- Always what the logs of the minute say; never counted up.
CREATE TABLE call_stats (
    site      text NOT NULL,
    minute    bigint NOT NULL,
    direction text NOT NULL,
    calls     bigint NOT NULL,
    answered  bigint NOT NULL,
    missed    bigint NOT NULL,
    ring_us   bigint NOT NULL,
    talk_us   bigint NOT NULL,
    PRIMARY KEY (site, minute, direction)
);

CREATE TABLE devices (
    site      text NOT NULL,
    device    text NOT NULL,
    -- To the minute.
    last_seen bigint NOT NULL,
    state     text,
    PRIMARY KEY (site, device)
);

CREATE TABLE extensions (
    site         text NOT NULL,
    extension    text NOT NULL,
    first_report bigint NOT NULL,
    PRIMARY KEY (site, extension)
);

CREATE TABLE agents (
    agent     text PRIMARY KEY,
    site      text NOT NULL,
    extension text,
    name      text
);

CREATE TABLE transfer_contexts (
    transfer_id      text PRIMARY KEY,
    original_call_id text NOT NULL,
    context          json NOT NULL,
    initiated_at     bigint NOT NULL
);

CREATE TABLE api_tokens (
    token_hash text PRIMARY KEY,
    name       text NOT NULL,
    role       text NOT NULL,
    created_at bigint NOT NULL
);

-- Messages that hold no fact, as they came.
CREATE TABLE dead_events (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest  text NOT NULL UNIQUE,
    reason  text NOT NULL,
    message bytea NOT NULL
);

-- Messages that may end whoever handles them, and how often that was begun.
CREATE TABLE suspects (
    digest   text PRIMARY KEY,
    attempts integer NOT NULL
);

-- Who may write a partition: its last owner. Whoever finds another one here has lost it. Epochs may repeat after a backup was restored;
-- owners never do.
CREATE TABLE partition_owner (
    generation integer NOT NULL,
    part       integer NOT NULL,
    epoch      bigint NOT NULL,
    owner      uuid NOT NULL,
    commit_no  bigint NOT NULL DEFAULT 0,
    watermark  bigint NOT NULL,
    -- The last promise of each ingress.
    ticks      json NOT NULL DEFAULT '{}',
    -- News up to here have been told to other programs.
    relayed    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (generation, part)
);

-- Into how many partitions sites are spread. Of an older generation nobody may take a partition over.
CREATE TABLE partition_layout (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    generation integer NOT NULL,
    parts      integer NOT NULL
);

-- What watchers were told last, for those who were away; numbered without gaps within a partition.
CREATE TABLE notices (
    generation integer NOT NULL,
    part       integer NOT NULL,
    number     bigint NOT NULL,
    kind       text NOT NULL,
    call_id    uuid NOT NULL,
    -- JSON, as it is told; nobody looks into it here.
    data       text NOT NULL,
    -- Only to show them roughly in order.
    written    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (generation, part, number)
);

-- Facts from before are gone, and calls from before cannot be rebuilt.
CREATE TABLE facts_kept (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    since    bigint NOT NULL
);
INSERT INTO facts_kept (since) VALUES (-9223372036854775808);

-- Makes the partitions of this month and the three after it, and drops those that lie wholly before an instant. It runs with the rights of
-- the owner of the tables, so that the service needs none to change them.
CREATE FUNCTION keep_facts(now_us bigint, since_us bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    month timestamp := date_trunc('month', to_timestamp(now_us / 1e6) AT TIME ZONE 'UTC');
    name text;
    first bigint;
    beyond bigint;
    gone record;
    reader record;
BEGIN
    -- Somebody else is at it.
    IF NOT pg_try_advisory_xact_lock(7094310255) THEN
        RETURN;
    END IF;
    FOR ahead IN 0..3 LOOP
        name := 'call_events_' || to_char(month, 'YYYY_MM');
        first := extract(epoch FROM month AT TIME ZONE 'UTC')::bigint * 1000000;
        month := month + interval '1 month';
        beyond := extract(epoch FROM month AT TIME ZONE 'UTC')::bigint * 1000000;
        IF to_regclass(name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE call_events INCLUDING ALL)', name);
            -- Facts of that month that came before there was a place for them.
            EXECUTE format('WITH moved AS (DELETE FROM call_events_other WHERE received_at >= %s AND received_at < %s RETURNING *)
                INSERT INTO %I SELECT * FROM moved', first, beyond, name);
            -- Facts are reached through their common table only, by the rights on it.
            FOR reader IN SELECT DISTINCT grantee FROM pg_class, aclexplode(relacl) WHERE relname = name AND relnamespace = 'public'::regnamespace AND grantee <> relowner LOOP
                EXECUTE format('REVOKE ALL ON %I FROM %s', name, CASE reader.grantee WHEN 0 THEN 'PUBLIC' ELSE reader.grantee::regrole::text END);
            END LOOP;
            EXECUTE format('ALTER TABLE call_events ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name, first, beyond);
        END IF;
    END LOOP;
    FOR gone IN
        SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'call_events'::regclass AND child.relname ~ '^call_events_[0-9]{4}_[0-9]{2}$'
            AND extract(epoch FROM (to_date(right(child.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC') * 1000000 <= since_us
    LOOP
        EXECUTE format('DROP TABLE %I', gone.relname);
    END LOOP;
    DELETE FROM call_events_other WHERE received_at < since_us;
    UPDATE facts_kept SET since = since_us WHERE since < since_us;
END $$;
REVOKE ALL ON FUNCTION keep_facts(bigint, bigint) FROM PUBLIC;

-- Calls as people query them.
CREATE VIEW calls AS
 SELECT call_id, site, direction, status, outcome, from_number, from_e164, to_number, to_e164, answered_by,
    timestamptz 'epoch' + started_at * interval '1 microsecond' AS started_at,
    timestamptz 'epoch' + answered_at * interval '1 microsecond' AS answered_at,
    timestamptz 'epoch' + ended_at * interval '1 microsecond' AS ended_at,
    ring_us / 1e6 AS ring_seconds, talk_us / 1e6 AS talk_seconds, total_us / 1e6 AS total_seconds,
    NOT EXISTS (SELECT 1 FROM call_states WHERE call_states.call_id = call_logs.call_id::text AND is_open) AS is_final, record
 FROM call_logs;

-- States as programs ask for them: of one of our calls its record is what there is to say.
CREATE VIEW shown_states AS
 SELECT call_states.call_id, session_id, provider, call_states.site, call_states.direction, call_states.status, call_states.from_number, call_states.to_number,
    coalesce(call_logs.record, call_metadata)::text AS call_metadata, created_at, updated_at, call_states.ended_at
 FROM call_states LEFT JOIN call_logs ON call_logs.call_id = our_call;
