-- One dialect for SQLite and PostgreSQL: TEXT and BIGINT only, times in seconds since 1970,
-- lists as JSON. Counted up by every change, so that a replica sees that something is new.
CREATE TABLE revision (n BIGINT NOT NULL);
INSERT INTO revision (n) VALUES (0);

-- Who there is: users, agents, service accounts, teams and tenants.
CREATE TABLE principals (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    tenant TEXT,
    teams TEXT NOT NULL,
    roles TEXT NOT NULL,
    disabled BIGINT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL,
    label TEXT NOT NULL,
    owner_kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT,
    revoked BIGINT,
    replaced_by TEXT
);
CREATE INDEX api_keys_owner ON api_keys (owner_kind, owner);

-- Every set of policies that was ever taken, and which of them was in force when.
CREATE TABLE policy_versions (
    version BIGINT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL,
    files TEXT NOT NULL,
    note TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE TABLE policy_activations (
    n BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL REFERENCES policy_versions (version),
    since BIGINT NOT NULL
);

CREATE TABLE portals (
    name TEXT NOT NULL PRIMARY KEY,
    definition TEXT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL
);
