-- Double entry: every movement takes from one account what it gives to another. Amounts are in
-- millionths of a credit.
CREATE TABLE credit_accounts (
    -- `tenant/acme`, `user/alice`; `held/WRITER/tenant/acme` for what a gateway has taken ahead;
    -- `spent/tenant/acme`; `granted` and `allowance`, from which all comes.
    id TEXT NOT NULL PRIMARY KEY,
    balance BIGINT NOT NULL,
    -- Of a budget: how much there is in each `day` or `month`, and which of them it is.
    allowance BIGINT,
    period TEXT,
    current TEXT,
    created BIGINT NOT NULL
);
CREATE TABLE credit_entries (
    movement TEXT NOT NULL,
    account TEXT NOT NULL,
    amount BIGINT NOT NULL,
    kind TEXT NOT NULL,
    note TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (movement, account)
);
CREATE INDEX credit_entries_account ON credit_entries (account, at);
CREATE TABLE credit_alerts (
    account TEXT NOT NULL,
    -- A budget's day or month; else how often credit was granted.
    round TEXT NOT NULL,
    percent BIGINT NOT NULL,
    at BIGINT NOT NULL,
    sent BIGINT,
    PRIMARY KEY (account, round, percent)
);

-- What was used, by the hour. Empty where there is none.
CREATE TABLE usage (
    hour BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    principal TEXT NOT NULL,
    agent TEXT NOT NULL,
    api_key TEXT NOT NULL,
    server TEXT NOT NULL,
    tool TEXT NOT NULL,
    calls BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    -- Millionths of a credit; of calls with a credential of the caller's own, nothing.
    price BIGINT NOT NULL,
    own_key BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    upstream_us BIGINT NOT NULL,
    PRIMARY KEY (hour, tenant, principal, agent, api_key, server, tool)
);
-- Up to which record a chain was added to the usage.
ALTER TABLE audit_writers ADD COLUMN counted BIGINT NOT NULL DEFAULT 0;

-- Quotas of days and months, as one gateway has counted them.
CREATE TABLE quota_counts (
    rule TEXT NOT NULL,
    measure TEXT NOT NULL,
    subject TEXT NOT NULL,
    period BIGINT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (rule, measure, subject)
);
