-- Units of consumption pools that devices activated offline have reserved, by member: a license, or one of its features.
CREATE TABLE reservation (
    license_id INTEGER NOT NULL,
    feature_id INTEGER NOT NULL,
    device_id  INTEGER NOT NULL,
    pool_id    INTEGER NOT NULL,
    units      INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    PRIMARY KEY (license_id, feature_id, device_id)
) STRICT, WITHOUT ROWID;
