DROP INDEX live_states_ended;
DROP TABLE outdated_states;
