-- When a chart was last read, give or take some minutes; 0 = not since this was recorded. A chart
-- expires by its last use, be it a change or a read.

ALTER TABLE charts ADD COLUMN read_at INTEGER NOT NULL DEFAULT 0;

DROP INDEX charts_updated;
CREATE INDEX charts_used ON charts (max(updated_at, read_at));
