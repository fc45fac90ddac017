-- When a consumption was booked, in milliseconds of running time: licence time without meta's downtime_ms. Those that were
-- booked before this was known count as old, so that the newest 1,000 of a device are remembered, as they were.
ALTER TABLE fulfilled ADD COLUMN at_ms INTEGER NOT NULL DEFAULT 0;
