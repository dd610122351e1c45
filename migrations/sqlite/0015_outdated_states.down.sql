DROP TABLE outdated_states;
