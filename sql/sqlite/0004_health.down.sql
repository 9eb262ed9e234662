DROP TABLE probe_results;
