-- Times are milliseconds since 1970 in license time. A feature_id of 0 is the license itself.
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE device (
    id          INTEGER PRIMARY KEY,
    license_id  INTEGER NOT NULL,
    hardware_id TEXT NOT NULL,
    user_id     INTEGER,
    status      TEXT NOT NULL CHECK (status IN ('active', 'vacated', 'replaced')),
    UNIQUE (license_id, hardware_id)
) STRICT;

CREATE TABLE device_variable (
    device_id     INTEGER NOT NULL REFERENCES device (id),
    name          TEXT NOT NULL,
    value         TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (device_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE slot (
    license_id INTEGER NOT NULL,
    feature_id INTEGER NOT NULL,
    device_id  INTEGER NOT NULL,
    until_ms   INTEGER NOT NULL,
    borrowed   INTEGER NOT NULL CHECK (borrowed IN (0, 1)),
    PRIMARY KEY (license_id, feature_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE consumption (
    license_id INTEGER NOT NULL,
    feature_id INTEGER NOT NULL,
    total      INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    PRIMARY KEY (license_id, feature_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE overages (
    license_id INTEGER PRIMARY KEY,
    allowed    INTEGER NOT NULL CHECK (allowed IN (0, 1)),
    max        INTEGER NOT NULL
) STRICT;

CREATE TABLE transfers (license_id INTEGER PRIMARY KEY, count INTEGER NOT NULL) STRICT;

-- Append-only: what happened, in order.
CREATE TABLE journal (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms      INTEGER NOT NULL,
    event      TEXT NOT NULL,
    license_id INTEGER NOT NULL,
    feature    TEXT,
    device_id  INTEGER NOT NULL,
    amount     INTEGER,
    until_ms   INTEGER
) STRICT;
