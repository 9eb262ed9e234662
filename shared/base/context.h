/*
 * base/context: the request on whose behalf the calling thread works.
 *
 * Each thread has one context, empty at first. Code that posts work for later (a task of the workers,
 * a stream of the pump, a call of an upstream) keeps a copy of the context it runs in, and restores
 * it around the callback. Log lines, answers and requests to providers read it from here, so that no
 * function has to pass it on and none can forget to. Contexts are values: they do not depend on the
 * memory of the request that they came from.
 */
#ifndef BASE_CONTEXT_H
#define BASE_CONTEXT_H

#include <stdbool.h>

#define CONTEXT_CORRELATION_MAXIMUM 128
#define CONTEXT_TRACEPARENT_SIZE    56 /* with the NUL */

struct context {
    char correlation_id[CONTEXT_CORRELATION_MAXIMUM + 1]; /* "": none */
    /* W3C Trace Context level 1, section 3.2, in lower-case hexadecimal. */
    char trace_id[33]; /* "": none, and then the two below mean nothing */
    char span_id[17];  /* the client's; the parent of the requests that we send */
    char trace_flags[3];
};

/* Of the calling thread; never NULL. Valid until the thread changes its context. */
const struct context *context_current(void);

/* Replaces the thread's context once a request has been identified; context_leave still restores the
 * one before. */
void context_replace(const struct context *context);

/* Makes `context` the calling thread's (NULL: the empty one) and returns the one before, which
 * context_leave restores. */
struct context context_enter(const struct context *context);
void context_leave(const struct context *before);

/* The `traceparent` header of a request sent on behalf of the context; false when it has no trace. */
bool context_traceparent(const struct context *context, char out[CONTEXT_TRACEPARENT_SIZE]);

#endif
