-- Calls over REST that were made with an idempotency key. What is here was begun, and is never begun again: 'running' until
-- its outcome is known, with a lease, in seconds since 1970, after which its gateway has ended and the outcome is 'unknown'.
-- 'owner' is a hash of who has made it, 'name' of the key, 'digest' of the request, 'holder' the run. 'outcome' is sealed by
-- the gateway; of what is 'done' it is empty if it was too long to be stored, or had to make room.
CREATE TABLE call_outcomes (
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    holder TEXT NOT NULL,
    state TEXT NOT NULL,
    lease BIGINT NOT NULL,
    created BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (owner, name)
);
CREATE INDEX call_outcomes_by_time ON call_outcomes (created);
CREATE INDEX call_outcomes_by_owner ON call_outcomes (owner, created);
