DROP TABLE agent_pauses;
