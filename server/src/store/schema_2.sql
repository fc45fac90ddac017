-- Consumptions that must not be booked twice: what their devices call them by Idempotency-Key, oldest first.
CREATE TABLE fulfilled (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id  INTEGER NOT NULL,
    key        TEXT NOT NULL,
    license_id INTEGER NOT NULL,
    feature_id INTEGER NOT NULL,
    amount     INTEGER NOT NULL,
    UNIQUE (device_id, key)
) STRICT;
