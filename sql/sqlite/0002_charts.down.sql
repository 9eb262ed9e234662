DROP TABLE chart_clock;
DROP TABLE chart_payloads;
DROP TABLE chart_blocks;
DROP TABLE chart_series;
DROP TABLE chart_loose_strips;
DROP TABLE charts;
DROP TABLE chart_owners;
