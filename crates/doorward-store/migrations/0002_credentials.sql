-- Credentials that callers, teams or tenants have given for a server: sealed, and opened by the gateway
-- alone.
CREATE TABLE credentials (
    server TEXT NOT NULL,
    owner_kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    sealed TEXT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    PRIMARY KEY (server, owner_kind, owner)
);
