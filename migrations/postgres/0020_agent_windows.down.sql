DROP TABLE agent_windows;
