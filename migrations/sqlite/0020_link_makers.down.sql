ALTER TABLE user_secrets DROP COLUMN made_by;
