-- Names of the table and of the time that say what they hold.
ALTER TABLE fulfilled RENAME TO used_key;
UPDATE meta SET name = 'heartbeat_at_ms' WHERE name = 'alive_at_ms';
