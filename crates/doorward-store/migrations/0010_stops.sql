-- Emergency stops, those that are undone among them.
CREATE TABLE stops (
    id TEXT NOT NULL PRIMARY KEY,
    -- `server`, `tool`, `user`, …, and the name as it was written.
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The name as it is compared.
    compared TEXT NOT NULL,
    why TEXT NOT NULL,
    set_by TEXT NOT NULL,
    -- In milliseconds since 1970.
    set_at BIGINT NOT NULL,
    -- `cancel` or `let_end`.
    mode TEXT NOT NULL,
    lifted_by TEXT,
    lifted_why TEXT,
    lifted_at BIGINT
);
CREATE INDEX stops_in_force ON stops (lifted_at, set_at);

-- Counts changes of the stops. Replicas poll this number more often than that of all other changes.
CREATE TABLE stops_revision (n BIGINT NOT NULL);
INSERT INTO stops_revision (n) VALUES (0);
