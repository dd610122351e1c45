DROP VIEW shown_states;
DROP VIEW calls;
DROP FUNCTION keep_facts(bigint, bigint);
DROP TABLE facts_kept, notices, partition_layout, partition_owner, dead_events, suspects, api_tokens, transfer_contexts, agents, extensions, devices,
    call_stats, missed_call_logs, call_links, call_participants, call_outcomes, call_logs, call_states, call_events, sites;
