-- What watchers were told last, for those who were away; numbered without gaps, also over restarts.
CREATE TABLE notices (
    number  INTEGER PRIMARY KEY,
    kind    TEXT NOT NULL,
    call_id TEXT NOT NULL,
    data    TEXT NOT NULL
) STRICT;
