/*
 * http/pipeline: the order of checks that every request of every program goes through.
 *
 * correlation id → trusted host, HTTPS redirect → CORS preflight → route → credentials, if any came
 * and the route looks at them → rate limit → authentication, authorization → query → body size →
 * strict parse → handler → answer, log line, metrics. Each check is one function that returns false
 * when it has answered. Up to the body's size everything is decided from the parameters alone
 * (pipeline_admit), before a larger body is read.
 */
#ifndef HTTP_PIPELINE_H
#define HTTP_PIPELINE_H

#include <stdbool.h>

#include "http/app.h"
#include "http/live.h"
#include "http/request.h"

/* exchange_handlers: context is the struct app. */
void pipeline_plan(struct exchange *exchange, void *context);
bool pipeline_admit(struct exchange *exchange, void *context);
void pipeline_handle(struct exchange *exchange, void *context);
void pipeline_refuse(struct exchange *exchange, int status, void *context);
void pipeline_dropped(struct exchange *exchange, void *context);

/* Counts, logs and frees what does not live in the arena; after the answer is complete. */
void pipeline_finish(struct request *request);

/* --- The checks, each in a file of its own ------------------------------------------------------ */

/* target.c. The first runs before a route is looked for, with the decoded path in request->path: sets
 * is_openai and refusal, and method and path where the web server has put others in their place;
 * true when a route may be looked for. The second answers that refusal, the third "OPTIONS *". */
bool target_identify(struct request *request);
bool target_check(struct request *request);
bool target_check_everything(struct request *request);
/* The request target as sent, without scheme and host; followed by a NUL. */
struct slice target_of(const struct request *request);
/* Goes through API_PREFIXES from *index on to the next that `path` begins with, moves *index behind
 * it and gives the rest of the path; false when there is none. */
bool target_strip_prefix(const struct request *request, size_t *index, struct slice path,
                         struct slice *rest);

/* client.c: client_address, is_https. */
void client_identify(struct request *request);

/* host.c: trusted host, HTTPS redirect; neither for probes. */
bool host_check_allowed(struct request *request);
bool host_check_https(struct request *request);

/* cors.c: sets cors_origin; answers preflights. */
void cors_identify(struct request *request);
bool cors_check_preflight(struct request *request);

/* limits.c: charges the owner of valid credentials, else the address. Without a route it is the
 * address and RATE_LIMIT_DEFAULT. */
bool limits_check(struct request *request);

/* credentials.c: who is asking. Answers only what is an outage of ours: wrong credentials are told
 * by credentials_check, after the limit, so that an exhausted guesser learns nothing. */
bool credentials_verify(struct request *request);

/* media.c: 415 for a body that is coded, or is not JSON where it must be. */
bool media_check(struct request *request, bool wants_json);

/* credentials.c: 401 and 403. */
bool credentials_check(struct request *request);

/* query.c. The first reads the query, early, because a key may stand in it; it answers only when
 * memory is out. The second is 400 for a malformed query, and for one that asks for what is not
 * built. */
bool query_read(struct request *request);
bool query_check(struct request *request);

#endif
