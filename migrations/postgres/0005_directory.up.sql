-- People at their phones, and helplines (groups, queues) with the extensions that ring for them.
CREATE TABLE people (
    site      text NOT NULL,
    extension text NOT NULL,
    name      text NOT NULL,
    PRIMARY KEY (site, extension)
);

CREATE TABLE helplines (
    site    text NOT NULL,
    number  text NOT NULL,
    name    text NOT NULL,
    -- A JSON list of extensions.
    members text NOT NULL,
    PRIMARY KEY (site, number)
);
