-- What users have let the gateway do for them at servers' own authorization servers, and the gateway as a client
-- there: both sealed. One replica renews a token at a time.
CREATE TABLE delegated (
    id TEXT NOT NULL PRIMARY KEY,
    server TEXT NOT NULL,
    owner TEXT NOT NULL,
    sealed TEXT NOT NULL,
    changed BIGINT NOT NULL,
    renewing BIGINT
);
CREATE TABLE upstream_clients (
    id TEXT NOT NULL PRIMARY KEY,
    sealed TEXT NOT NULL,
    created BIGINT NOT NULL
);
