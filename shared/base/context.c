/*
 * base/context: one value for each thread.
 */
#include "base/context.h"

#include <stdio.h>

static _Thread_local struct context current;

const struct context *context_current(void)
{
    return &current;
}

void context_replace(const struct context *context)
{
    current = *context;
}

struct context context_enter(const struct context *context)
{
    static const struct context nobody = {.correlation_id = ""};
    struct context before = current;
    current = context == NULL ? nobody : *context;
    return before;
}

void context_leave(const struct context *before)
{
    current = *before;
}

bool context_traceparent(const struct context *context, char out[CONTEXT_TRACEPARENT_SIZE])
{
    if (context->trace_id[0] == '\0') {
        return false;
    }
    snprintf(out, CONTEXT_TRACEPARENT_SIZE, "00-%s-%s-%s", context->trace_id, context->span_id,
             context->trace_flags);
    return true;
}
