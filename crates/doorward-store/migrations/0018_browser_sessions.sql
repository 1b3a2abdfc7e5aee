-- Sessions of browsers at the console and the portal, and the short-lived tokens that they were given. Times are in seconds
-- since 1970.
CREATE TABLE browser_sessions (
    -- SHA-256 of the face and of the secret that the browser has.
    id TEXT NOT NULL PRIMARY KEY,
    -- 'console', 'portal' or 'token'.
    face TEXT NOT NULL,
    -- The session that a token belongs to.
    parent TEXT,
    -- The stable ID of the principal, and what stops and administrators look at.
    principal TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    tenant TEXT,
    method TEXT NOT NULL,
    api_key TEXT,
    provider TEXT,
    -- As the provider names the user and its own session, for logouts that begin there.
    subject TEXT,
    sid TEXT,
    address TEXT,
    -- What was verified at the login, encrypted by a key that only the browser has.
    sealed TEXT NOT NULL,
    created BIGINT NOT NULL,
    used BIGINT NOT NULL,
    idle BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX browser_sessions_by_principal ON browser_sessions (principal, face, created);
CREATE INDEX browser_sessions_by_expiry ON browser_sessions (expires);
CREATE INDEX browser_sessions_by_parent ON browser_sessions (parent);
