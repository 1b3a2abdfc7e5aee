-- Other registries: when each is read, and what has become of its entries. Times are in seconds since 1970.
CREATE TABLE registry_reads (
    registry TEXT NOT NULL PRIMARY KEY,
    -- When it is read next. Whoever reads it moves this first.
    due BIGINT NOT NULL,
    -- Until when a gateway may be reading it; nobody else does before. 0 if nobody is.
    busy BIGINT NOT NULL,
    -- The settings that it was read with; with others it is read as a whole.
    settings TEXT NOT NULL,
    -- Only entries that were updated since then are read next; empty for all.
    since TEXT NOT NULL,
    -- When it was last read as a whole; 0 for never.
    whole BIGINT NOT NULL,
    -- When it was last read to its end.
    done BIGINT,
    -- Why it was not; empty if it was.
    problem TEXT NOT NULL,
    -- What the last reading has found, as JSON.
    counts TEXT NOT NULL
);

CREATE TABLE registry_entries (
    registry TEXT NOT NULL,
    entry TEXT NOT NULL,
    -- The version that was seen last.
    version TEXT NOT NULL,
    -- `waiting`, `proposed`, `skipped` or `deleted`.
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- The server that was proposed for it, and the version that it was proposed for.
    server TEXT NOT NULL,
    proposed TEXT NOT NULL,
    -- While it waits, what is to be proposed. If its proposal was withdrawn, the digest of that.
    spec TEXT NOT NULL,
    digest TEXT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (registry, entry)
);
