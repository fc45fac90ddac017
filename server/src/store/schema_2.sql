-- Consumptions that must not be booked twice: what their devices call them by Idempotency-Key.
CREATE TABLE fulfilled (
    license_id INTEGER NOT NULL,
    device_id  INTEGER NOT NULL,
    key        TEXT NOT NULL,
    amount     INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    PRIMARY KEY (license_id, device_id, key)
) STRICT, WITHOUT ROWID;
