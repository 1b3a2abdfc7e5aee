-- Tasks of clients that use the gateway as an agent (A2A). 'owner' is a hash of the credential that has created it, 'context'
-- a hash of the ID of its context; 'content' has the task, sealed by the gateway. A task that is 'working' has a lease, in
-- seconds since 1970; after that, its gateway has ended, and it becomes 'lost'. Every change counts 'version' up, and is made
-- only to the version that it was decided on. 'updated', in milliseconds, is when the state has changed.
CREATE TABLE agent_tasks (
    id TEXT PRIMARY KEY NOT NULL,
    owner TEXT NOT NULL,
    portal TEXT NOT NULL,
    context TEXT NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    lease BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX agent_tasks_by_owner ON agent_tasks (owner, updated);
CREATE INDEX agent_tasks_by_time ON agent_tasks (updated);
CREATE INDEX agent_tasks_by_expiry ON agent_tasks (expires);
