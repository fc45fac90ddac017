-- When a slot was taken, in milliseconds of running time (license time without meta's downtime_ms). Slots that were taken
-- before this was known count as the oldest, in the order of their devices' numbers.
ALTER TABLE slot ADD COLUMN taken_at_ms INTEGER NOT NULL DEFAULT 0;
-- By how much the clock was set back since a total was counted, for a clock that was set back by mistake.
ALTER TABLE consumption ADD COLUMN set_back_ms INTEGER NOT NULL DEFAULT 0;
-- The catalogue's overages when a client changed them. NULL for changes that were made before this was known.
ALTER TABLE overages ADD COLUMN replaced_allowed INTEGER;
ALTER TABLE overages ADD COLUMN replaced_max INTEGER;
