/*
 * services/probe: asks one of the services that are reached over a network whether it is
 * well, in the words of its protocol. For health's probes and for `quintet check`.
 *
 * A provider is well when it answers its list of models with JSON, or says that it has none (404,
 * 405, 501); 401 and 403 mean that it does not take our key. Of other HTTP services the status
 * alone decides.
 */
#ifndef SERVICES_PROBE_H
#define SERVICES_PROBE_H

#include "services/services.h"

/* Of one probe. */
#define SERVICE_PROBE_MILLISECONDS 950

#define SERVICE_LATE "no answer in time"

/* Blocks for SERVICE_PROBE_MILLISECONDS at most, but for the name server. "" when the service is
 * well, NULL when it is not reached over a network, else what is wrong: a fixed text, with nothing
 * of the answer in it. `ca_path` as in upstream_fetch. */
const char *service_probe(const struct service *service, const char *ca_path);

#endif
