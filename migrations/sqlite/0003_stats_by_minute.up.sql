-- Every commit counts the calls of the buckets it touched: those of a minute, not those of an hour. Rebuilt from the logs, as always.
DROP TABLE call_stats;
CREATE TABLE call_stats (
    site      TEXT NOT NULL,
    minute    INTEGER NOT NULL,
    direction TEXT NOT NULL,
    calls     INTEGER NOT NULL,
    answered  INTEGER NOT NULL,
    missed    INTEGER NOT NULL,
    ring_us   INTEGER NOT NULL,
    talk_us   INTEGER NOT NULL,
    PRIMARY KEY (site, minute, direction)
) STRICT, WITHOUT ROWID;
INSERT INTO call_stats (site, minute, direction, calls, answered, missed, ring_us, talk_us)
 SELECT site, started_at - started_at % 60000000, direction, count(*), count(*) FILTER (WHERE outcome = 'answered'),
    count(*) FILTER (WHERE outcome = 'missed'), coalesce(sum(ring_us), 0), sum(talk_us)
 FROM call_logs WHERE outcome IS NOT NULL GROUP BY 1, 2, 3;
