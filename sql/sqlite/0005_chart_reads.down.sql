DROP INDEX charts_used;
CREATE INDEX charts_updated ON charts (updated_at);
ALTER TABLE charts DROP COLUMN read_at;
