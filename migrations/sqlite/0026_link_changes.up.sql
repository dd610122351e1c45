-- Links that people made, and those of ours that they removed. They are laid over the links of a
-- record, which follow from facts alone.
CREATE TABLE link_changes (
    call_id        TEXT NOT NULL,
    linked_call_id TEXT NOT NULL,
    is_removed     INTEGER NOT NULL,
    changed_by     TEXT NOT NULL,
    changed_at     INTEGER NOT NULL,
    PRIMARY KEY (call_id, linked_call_id)
) STRICT, WITHOUT ROWID;
