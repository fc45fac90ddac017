-- The latest request file of each device that was activated or deactivated offline. It is never forgotten, because a file
-- can be sent again at any time.
CREATE TABLE offline_request (
    license_id  INTEGER NOT NULL,
    hardware_id TEXT NOT NULL,
    number      INTEGER NOT NULL,
    PRIMARY KEY (license_id, hardware_id)
) STRICT, WITHOUT ROWID;
