-- Who writes records: each process has a chain of its own, and all share the chain of acts.
CREATE TABLE audit_writers (
    id TEXT NOT NULL PRIMARY KEY,
    -- Where it runs, as JSON.
    place TEXT NOT NULL,
    started BIGINT NOT NULL,
    -- Counted up while it lives, so that others see that it does, whatever the clocks say.
    beats BIGINT NOT NULL,
    ended BIGINT,
    -- The last record of its chain.
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO audit_writers (id, place, started, beats, seq, hash) VALUES ('acts', '{}', 0, 0, 0, '');

-- Records in the order of their chains, those that were written together in one row: a line each.
CREATE TABLE audit_blocks (
    writer TEXT NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    -- Milliseconds since 1970.
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (writer, first_seq)
);
CREATE INDEX audit_blocks_at ON audit_blocks (last_at, writer, first_seq);

-- The keys that sign checkpoints. The private half is sealed, or in a file and not here.
CREATE TABLE audit_keys (
    id TEXT NOT NULL PRIMARY KEY,
    public TEXT NOT NULL,
    sealed TEXT,
    created BIGINT NOT NULL
);

-- What no retention may take away.
CREATE TABLE audit_holds (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT,
    principal TEXT,
    reason TEXT NOT NULL,
    created BIGINT NOT NULL,
    released BIGINT
);

-- How far each export has come in each chain, and which writer looks after it.
CREATE TABLE audit_exports (
    name TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL
);
CREATE TABLE audit_export_positions (
    name TEXT NOT NULL,
    writer TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (name, writer)
);
