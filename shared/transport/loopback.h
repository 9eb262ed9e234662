/*
 * transport/loopback: exchanges without any socket, for tests and fuzzers of handlers.
 */
#ifndef TRANSPORT_LOOPBACK_H
#define TRANSPORT_LOOPBACK_H

#include "base/buffer.h"
#include "transport/exchange.h"

/* Runs one request through the handlers in the calling thread; streams run in the foreground
 * until they end, on the pump that transport_pump(NULL) returns meanwhile. `parameters` is a
 * NULL-terminated array of NAME=value. What the handlers sent (CGI text) is appended to `answer`.
 * STATUS_INTERNAL when the handler neither completed the exchange nor gave it to the pump. */
enum status loopback_run(const struct exchange_handlers *handlers, const char *const *parameters,
                         struct slice body, struct buffer *answer) MUST_CHECK;

#endif
