-- Definitions that were approved, by server in lower case. What counts up when anything of a server's is decided is its
-- book: a replica reads again what has changed.
CREATE TABLE pin_books (
    server TEXT NOT NULL PRIMARY KEY,
    n BIGINT NOT NULL
);

-- Names are JSON strings, for a server may name things with characters that a column cannot hold. Of each, the hash of all
-- of its canonical form and of all but _meta.
CREATE TABLE pins (
    server TEXT NOT NULL,
    era TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    core TEXT NOT NULL,
    definition TEXT NOT NULL,
    accepted_by TEXT NOT NULL,
    accepted BIGINT NOT NULL,
    PRIMARY KEY (server, era, kind, name)
);

-- Kinds of which what a server said first was taken.
CREATE TABLE pin_kinds (
    server TEXT NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (server, kind)
);

-- Definitions that are withheld: they wait, or were refused.
CREATE TABLE drifts (
    server TEXT NOT NULL,
    era TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    core TEXT NOT NULL,
    definition TEXT NOT NULL,
    seen BIGINT NOT NULL,
    refused_by TEXT,
    refused BIGINT,
    PRIMARY KEY (server, era, kind, name, hash)
);
