-- What the gateway keeps as an authorization server. Secrets of clients, codes and refresh tokens are kept
-- as hashes; the keys that sign tokens, and what the identity provider gave for a user, are sealed.
CREATE TABLE oauth_clients (
    id TEXT NOT NULL PRIMARY KEY,
    registration TEXT NOT NULL,
    secret_hash TEXT,
    created BIGINT NOT NULL,
    used BIGINT
);

-- What a user has consented to: one login, and the family of refresh tokens that came of it.
CREATE TABLE oauth_grants (
    id TEXT NOT NULL PRIMARY KEY,
    client TEXT NOT NULL,
    client_name TEXT NOT NULL,
    subject TEXT NOT NULL,
    claims TEXT NOT NULL,
    resource TEXT NOT NULL,
    scopes TEXT NOT NULL,
    sealed TEXT,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    revoked BIGINT
);
CREATE INDEX oauth_grants_client ON oauth_grants (client);

-- Codes and refresh tokens, each of which is used once.
CREATE TABLE oauth_tickets (
    hash TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    grant_id TEXT NOT NULL REFERENCES oauth_grants (id) ON DELETE CASCADE,
    redirect_uri TEXT,
    challenge TEXT,
    expires BIGINT NOT NULL,
    used BIGINT
);
CREATE INDEX oauth_tickets_grant ON oauth_tickets (grant_id);

CREATE TABLE signing_keys (
    id TEXT NOT NULL PRIMARY KEY,
    sealed TEXT NOT NULL,
    created BIGINT NOT NULL
);

-- What must not come twice: logins that were finished, assertions of clients.
CREATE TABLE oauth_once (
    id TEXT NOT NULL PRIMARY KEY,
    expires BIGINT NOT NULL
);
