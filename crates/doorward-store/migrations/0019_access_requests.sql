-- Requests of users for access, and what became of them. Times are in seconds since 1970.
CREATE TABLE access_requests (
    id TEXT NOT NULL PRIMARY KEY,
    -- Kind and name of the principal.
    requester TEXT NOT NULL,
    -- 'open', 'granted', 'refused' or 'withdrawn'; an open one that has expired is over, too.
    state TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    -- What is asked for and why, and the decision, as JSON.
    request TEXT NOT NULL
);
CREATE INDEX access_requests_by_requester ON access_requests (requester, created);
CREATE INDEX access_requests_by_state ON access_requests (state, expires);
