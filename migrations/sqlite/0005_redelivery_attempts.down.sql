ALTER TABLE redelivery_attempts RENAME TO suspects;
