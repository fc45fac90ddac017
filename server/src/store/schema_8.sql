-- Trials that were given. The license of a trial is made of the catalogue's terms and of what stands here.
CREATE TABLE trial (
    license_id   INTEGER PRIMARY KEY,
    product      TEXT NOT NULL,
    policy       TEXT NOT NULL,
    hardware_id  TEXT NOT NULL,
    license_key  TEXT NOT NULL,
    issued_at_ms INTEGER NOT NULL,
    ends_at_ms   INTEGER NOT NULL,
    customer     TEXT NOT NULL,      -- JSON, as in replies
    UNIQUE (product, hardware_id)
) STRICT;
