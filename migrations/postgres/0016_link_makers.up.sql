-- The account or token that made a link: it works while that one may still make it. Links of the
-- command line have none.
ALTER TABLE user_secrets ADD COLUMN made_by text;
