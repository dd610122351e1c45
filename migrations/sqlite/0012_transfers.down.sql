DROP TABLE registered_transfers;
