ALTER TABLE user_secrets DROP COLUMN session_hash;
DROP TABLE agent_pauses;
