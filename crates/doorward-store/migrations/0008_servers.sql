-- The life of servers: those that were proposed at run time, and those of the configuration file that are reviewed, or
-- were taken out of use.
CREATE TABLE servers (
    -- The name in lower case.
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    -- `file` or `run_time`.
    origin TEXT NOT NULL,
    state TEXT NOT NULL,
    -- Where it was when it was quarantined.
    quarantined_from TEXT,
    -- Settings as JSON, in the form of the configuration file; empty for a server of the file.
    spec TEXT NOT NULL,
    -- SHA-256 of what is approved.
    digest TEXT NOT NULL,
    -- 1 if addresses that are not public were allowed.
    allow_private BIGINT NOT NULL,
    proposed_by TEXT NOT NULL,
    proposed BIGINT NOT NULL,
    approved_by TEXT,
    -- What clients of a deprecated server are told, as JSON.
    deprecation TEXT,
    -- Counts the changes of this row.
    revision BIGINT NOT NULL,
    changed BIGINT NOT NULL
);
CREATE TABLE server_steps (
    id TEXT NOT NULL,
    n BIGINT NOT NULL,
    step TEXT NOT NULL,
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    who TEXT NOT NULL,
    via TEXT NOT NULL,
    why TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (id, n)
);
-- What a look at a server has found, as JSON.
CREATE TABLE server_looks (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL,
    found TEXT NOT NULL,
    who TEXT NOT NULL,
    at BIGINT NOT NULL
);
-- On which day it was last reported that the review of a server is due.
CREATE TABLE server_reviews_due (
    id TEXT NOT NULL PRIMARY KEY,
    day TEXT NOT NULL
);
