DROP TABLE chart_blocks;
DROP TABLE chart_series;
DROP TABLE charts;
