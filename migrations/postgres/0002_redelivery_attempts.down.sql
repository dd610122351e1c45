DROP VIEW suspects;
ALTER TABLE redelivery_attempts RENAME CONSTRAINT redelivery_attempts_pkey TO suspects_pkey;
ALTER TABLE redelivery_attempts RENAME TO suspects;
