DROP TABLE site_rules;
