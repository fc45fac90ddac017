-- The request with the highest order number of each slot of a device, and of the device itself: requests that are
-- overtaken by a later one are not carried out. A slot of 0 is the license's own, one of -1 the device. The words of an
-- action are checked when they are read: a CHECK of more than two makes SQLite build a table of them at each write, which
-- is then four times as expensive.
CREATE TABLE latest_request (
    license_id  INTEGER NOT NULL,
    hardware_id TEXT NOT NULL,
    slot        INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    action      TEXT NOT NULL,
    refusal     TEXT,
    at_ms       INTEGER NOT NULL,
    PRIMARY KEY (license_id, hardware_id, slot)
) STRICT, WITHOUT ROWID;
