-- Requests of administrators that made something, by their idempotency keys, so that a repeated one makes nothing twice.
CREATE TABLE idempotency (
    actor TEXT NOT NULL,
    name TEXT NOT NULL,
    -- SHA-256 of method, path and input.
    digest TEXT NOT NULL,
    at BIGINT NOT NULL,
    -- Absent until the response is known.
    status BIGINT,
    body TEXT,
    PRIMARY KEY (actor, name)
);
CREATE INDEX idempotency_at ON idempotency (at);

-- What `doorward apply` has made, so that pruning removes nothing else.
CREATE TABLE applied (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);
