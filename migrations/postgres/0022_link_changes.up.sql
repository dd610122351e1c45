-- Links that people made, and those of ours that they removed. They are laid over the links of a
-- record, which follow from facts alone.
CREATE TABLE link_changes (
    call_id        text NOT NULL,
    linked_call_id text NOT NULL,
    is_removed     smallint NOT NULL,
    changed_by     text NOT NULL,
    changed_at     bigint NOT NULL,
    PRIMARY KEY (call_id, linked_call_id)
);
