/*
 * transport/pump_upstream: upstream calls on a pump. Apart from the pump, so that programs without
 * upstream calls do not link libcurl.
 */
#ifndef TRANSPORT_PUMP_UPSTREAM_H
#define TRANSPORT_PUMP_UPSTREAM_H

#include "transport/pump.h"
#include "upstream/upstream.h"

/* The pump's upstream, made on first use and released with the pump. Pump thread only. `ca_path` as
 * for upstream_create; that of the first call counts. NULL when memory is out. */
struct upstream *upstream_of_pump(struct pump *pump, const char *ca_path);

#endif
