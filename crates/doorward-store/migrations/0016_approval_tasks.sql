-- Held calls as tasks, for clients that take tasks. 'request' has the call and 'outcome' what has come of it, both sealed by
-- the gateway. A task that runs has a lease, in seconds since 1970; after that, its gateway has ended. Every change counts
-- 'version' up, and is made only to the version that it was decided on.
CREATE TABLE approval_tasks (
    id TEXT PRIMARY KEY NOT NULL,
    principal TEXT NOT NULL,
    approval TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    lease BIGINT NOT NULL,
    -- Of 'request' and 'outcome' together.
    bytes BIGINT NOT NULL,
    request TEXT NOT NULL,
    outcome TEXT NOT NULL
);
CREATE INDEX approval_tasks_by_principal ON approval_tasks (principal, updated);
CREATE INDEX approval_tasks_by_time ON approval_tasks (updated);
