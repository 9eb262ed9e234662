/*
 * metrics: the program that Prometheus scrapes.
 *
 * Everything it tells lies in the segment, so a scrape needs no other program alive. With
 * METRICS_TOKEN set, the scraper must send it as Bearer.
 */
#ifndef METRICS_PROGRAM_EXPOSITION_H
#define METRICS_PROGRAM_EXPOSITION_H

#include "http/app.h"
#include "http/request.h"

/* GET METRICS_PATH: text 0.0.4 or OpenMetrics 1.0 by Accept, gzip by Accept-Encoding. 404 with
 * ENABLE_METRICS=false. */
void exposition_answer(struct request *request);

#endif
