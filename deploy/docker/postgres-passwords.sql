-- Runs once, when the image initialises the database, after roles.sql. Passwords come from the
-- secrets, and no file of the image contains them.
\set ON_ERROR_STOP on
\set folder `echo "${CORDBOARD_SECRETS:-/run/secrets}"`
\setenv FOLDER :folder
\set owner `cat "$FOLDER/postgres-owner"`
\set app `cat "$FOLDER/postgres-app"`
\set read `cat "$FOLDER/postgres-read"`
ALTER ROLE cordboard_owner PASSWORD :'owner';
ALTER ROLE cordboard_app PASSWORD :'app';
ALTER ROLE cordboard_read PASSWORD :'read';
