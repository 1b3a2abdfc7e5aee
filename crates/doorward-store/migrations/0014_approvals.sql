-- Calls that wait for a person, and those that were decided. What is approved is the digest; the request is what people see.
-- Times are in seconds since 1970.
CREATE TABLE approvals (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL,
    -- The stable ID of the caller.
    principal TEXT NOT NULL,
    state TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    -- The call that used it.
    used_by TEXT,
    -- Counted up first by whoever votes: votes come one after the other.
    votes BIGINT NOT NULL,
    request TEXT NOT NULL
);

-- Of the same call, one is open at a time.
CREATE UNIQUE INDEX approvals_open ON approvals (digest) WHERE state = 'waiting' OR state = 'approved';
CREATE INDEX approvals_by_digest ON approvals (digest, created);
CREATE INDEX approvals_by_state ON approvals (state, created);

CREATE TABLE approval_votes (
    approval TEXT NOT NULL,
    voter TEXT NOT NULL,
    vote TEXT NOT NULL,
    PRIMARY KEY (approval, voter)
);

-- Decisions that are remembered, by the hash of what they cover.
CREATE TABLE approval_grants (
    hash TEXT NOT NULL PRIMARY KEY,
    principal TEXT NOT NULL,
    approval TEXT NOT NULL,
    policy TEXT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX approval_grants_by_principal ON approval_grants (principal, expires);
