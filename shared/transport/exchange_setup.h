/*
 * transport/exchange_setup: what the transports share when they make an exchange. Private to
 * transport/.
 */
#ifndef TRANSPORT_EXCHANGE_SETUP_H
#define TRANSPORT_EXCHANGE_SETUP_H

#include <stdint.h>

#include "transport/exchange.h"

/* Takes no memory. */
void exchange_init(struct exchange *exchange, const struct exchange_operations *operations);

/* Forgets the request and its answer; keeps memory of ordinary size for the next one. */
void exchange_reset(struct exchange *exchange);

/* Frees everything. Idempotent. */
void exchange_release(struct exchange *exchange);

/* Marks `count` more bytes of the output as sent and drops them when that is cheap. */
void exchange_mark_sent(struct exchange *exchange, size_t count);

/* The parameters are set: reads CONTENT_LENGTH and calls handlers->plan. */
void exchange_plan(struct exchange *exchange, const struct exchange_handlers *handlers);

/* Each calls the handler of that name in the context of the exchange. */
bool exchange_admit(struct exchange *exchange, const struct exchange_handlers *handlers);
void exchange_handle(struct exchange *exchange, const struct exchange_handlers *handlers);
void exchange_refuse(struct exchange *exchange, const struct exchange_handlers *handlers,
                     int status);
void exchange_drop(struct exchange *exchange, const struct exchange_handlers *handlers);

/* Sets body, body_too_large and body_differs from what came. */
void exchange_set_body(struct exchange *exchange, struct slice body, bool too_large);

/* Makes the parameters from a NULL-terminated array of NAME=value, which must outlive the exchange.
 * Entries without '=' are passed over. */
enum status exchange_set_environment(struct exchange *exchange,
                                     const char *const *environment) MUST_CHECK;

#endif
