-- Charts, their series, and the points of each series in blocks.
-- Times of rows are milliseconds since 1970. Options are JSON text as the client sent it.
-- A chart belongs to an owner; its id is chosen by the client and means nothing to anybody else.

CREATE TABLE charts (
    number INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    options TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (owner, id)
) STRICT;

CREATE INDEX charts_updated ON charts (updated_at);

-- A number is never given twice, so number and version together name one state of one series for
-- ever. has_fractions: some time is no whole second.
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
    UNIQUE (chart, pane, id)
) STRICT;

-- Up to 512 consecutive points. The blocks of a series are in order of first_time and do not
-- overlap; first_index is the number of points before. times: one float64 for each point, seconds
-- since 1970; starts: one uint32 for each point, where its text begins in payload; both
-- little-endian. payload: the JSON of the points, joined by commas. The large columns stand last,
-- so that the others are read without them.
CREATE TABLE chart_blocks (
    number INTEGER PRIMARY KEY,
    series INTEGER NOT NULL REFERENCES chart_series (number) ON DELETE CASCADE,
    first_time REAL NOT NULL,
    last_time REAL NOT NULL,
    first_index INTEGER NOT NULL,
    point_count INTEGER NOT NULL,
    times BLOB NOT NULL,
    starts BLOB NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (series, first_time)
) STRICT;
