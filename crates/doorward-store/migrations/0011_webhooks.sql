-- Events on their way to webhooks, and the log of those that arrived or were given up.
CREATE TABLE webhook_deliveries (
    -- Sent as `webhook-id`: the same at every attempt.
    id TEXT NOT NULL PRIMARY KEY,
    webhook TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    -- Times are in milliseconds since 1970.
    created BIGINT NOT NULL,
    -- `waiting`, `delivered` or `failed`.
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    -- When it is due; for one that is being sent, when it may be taken over.
    due BIGINT NOT NULL,
    status BIGINT,
    error TEXT,
    ended BIGINT
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (state, due);
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (created, id);

-- Up to which act events were made of the chain of acts; -1 until a gateway has begun.
CREATE TABLE webhook_position (acts BIGINT NOT NULL);
INSERT INTO webhook_position (acts) VALUES (-1);

-- The state that was reported last, so that many gateways report a change once.
CREATE TABLE webhook_states (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
