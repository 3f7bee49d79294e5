-- A receiver that fails call after call is left alone for a while, and then probed: how many have failed in a row, and until
-- when it rests (-1: it was woken by hand).
ALTER TABLE webhook_receivers ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE webhook_receivers ADD COLUMN rests_until INTEGER NOT NULL DEFAULT 0;
-- When this round of tries began, where it was begun by hand.
ALTER TABLE webhook_deliveries ADD COLUMN round_at INTEGER;
-- The trace that what ended belongs to: its `traceparent`, with its `tracestate` behind a space.
ALTER TABLE webhook_deliveries ADD COLUMN trace TEXT;
