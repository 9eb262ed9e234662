-- Charts, their series, and the points of each series in blocks.
-- Times of rows are milliseconds since 1970. Options are JSON text as the client sent it.
-- A chart belongs to an owner; its id is chosen by the client and means nothing to anybody else.
-- No number is ever given twice.

-- read_at: when a chart was last read, give or take some minutes; 0 = never. A chart expires by its
-- last use, be it a change or a read. series_count and point_count are kept by triggers.
CREATE TABLE charts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    options TEXT NOT NULL,
    series_count INTEGER NOT NULL DEFAULT 0,
    point_count INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    read_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE (owner, id)
) STRICT;

CREATE INDEX charts_used ON charts (max(updated_at, read_at));

-- What an owner has, so that a quota and the length of a list cost one row. Kept by triggers.
CREATE TABLE chart_owners (
    owner TEXT PRIMARY KEY,
    chart_count INTEGER NOT NULL,
    series_count INTEGER NOT NULL,
    point_count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- strip: the run of blocks that holds the points. stamp: a random number of the last write, so that
-- number, version and stamp together name one state of one series, also in a database that was put
-- back from a copy. has_fractions: some time is no whole second.
CREATE TABLE chart_series (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    chart INTEGER NOT NULL REFERENCES charts (number) ON DELETE CASCADE,
    pane INTEGER NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    options TEXT NOT NULL,
    point_count INTEGER NOT NULL,
    has_fractions INTEGER NOT NULL CHECK (has_fractions IN (0, 1)),
    version INTEGER NOT NULL,
    stamp INTEGER NOT NULL,
    strip INTEGER NOT NULL UNIQUE,
    UNIQUE (chart, pane, id)
) STRICT;

-- Strips that no series shows: those that a large write prepares in many small transactions (since
-- prepared_at), and those that are to be removed in as many (prepared_at = 0).
CREATE TABLE chart_loose_strips (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    prepared_at INTEGER NOT NULL
) STRICT;

CREATE INDEX chart_loose_strips_by_age ON chart_loose_strips (prepared_at);

-- Up to 512 consecutive points. The blocks of a strip are in order of first_time and do not
-- overlap; first_index is the number of points before. Only what has to change with the points
-- before is here, so that moving a long strip's blocks along rewrites little.
CREATE TABLE chart_blocks (
    strip INTEGER NOT NULL,
    first_time REAL NOT NULL,
    last_time REAL NOT NULL,
    first_index INTEGER NOT NULL,
    point_count INTEGER NOT NULL,
    byte_count INTEGER NOT NULL,
    payload INTEGER NOT NULL,
    PRIMARY KEY (strip, first_time)
) STRICT, WITHOUT ROWID;

-- times: one float64 for each point, seconds since 1970; starts: one uint32 for each point, where
-- its text begins in payload; both little-endian. payload: the JSON of the points, joined by commas.
CREATE TABLE chart_payloads (
    number INTEGER PRIMARY KEY,
    times BLOB NOT NULL,
    starts BLOB NOT NULL,
    payload BLOB NOT NULL
) STRICT;

-- The time by which charts expire, and how long the machine was up then; see stores/charts.
CREATE TABLE chart_clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    trusted_at INTEGER NOT NULL,
    boot_at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER charts_made AFTER INSERT ON charts BEGIN
    INSERT INTO chart_owners (owner, chart_count, series_count, point_count)
    VALUES (new.owner, 1, 0, 0)
    ON CONFLICT (owner) DO UPDATE SET chart_count = chart_count + 1;
END;

CREATE TRIGGER charts_counted AFTER UPDATE OF series_count, point_count ON charts BEGIN
    UPDATE chart_owners SET series_count = series_count + new.series_count - old.series_count,
        point_count = point_count + new.point_count - old.point_count
    WHERE owner = new.owner;
END;

CREATE TRIGGER charts_removed AFTER DELETE ON charts BEGIN
    UPDATE chart_owners SET chart_count = chart_count - 1,
        series_count = series_count - old.series_count,
        point_count = point_count - old.point_count
    WHERE owner = old.owner;
END;

CREATE TRIGGER chart_series_made AFTER INSERT ON chart_series BEGIN
    UPDATE charts SET series_count = series_count + 1, point_count = point_count + new.point_count
    WHERE number = new.chart;
END;

CREATE TRIGGER chart_series_counted AFTER UPDATE OF point_count ON chart_series
WHEN new.point_count <> old.point_count BEGIN
    UPDATE charts SET point_count = point_count + new.point_count - old.point_count
    WHERE number = new.chart;
END;

CREATE TRIGGER chart_series_replaced AFTER UPDATE OF strip ON chart_series
WHEN new.strip <> old.strip BEGIN
    INSERT INTO chart_loose_strips (number, prepared_at) VALUES (old.strip, 0);
END;

-- When the whole chart goes, its row is gone already, and with it what it counts.
CREATE TRIGGER chart_series_removed AFTER DELETE ON chart_series BEGIN
    UPDATE charts SET series_count = series_count - 1, point_count = point_count - old.point_count
    WHERE number = old.chart;
    INSERT INTO chart_loose_strips (number, prepared_at) VALUES (old.strip, 0);
END;
