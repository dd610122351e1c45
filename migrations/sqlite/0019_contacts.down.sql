DROP TABLE caller_notes;
DROP TABLE contacts;
