/*
 * pump_upstream: the pump's functions under the names upstream/ knows.
 */
#include "transport/pump_upstream.h"

#include "base/context.h"

/* A connection of libcurl carries the answers of many requests, and a timer of it is for all of them:
 * both run in nobody's context, and upstream/ restores that of each call. */

static enum status watch(void *loop, int descriptor, bool read, bool write,
                         void (*ready)(int descriptor, bool readable, bool writable, void *context),
                         void *context)
{
    const struct context before = context_enter(NULL);
    enum status status = pump_watch(loop, descriptor, read, write, ready, context);
    context_leave(&before);
    return status;
}

static void unwatch(void *loop, int descriptor)
{
    pump_unwatch(loop, descriptor);
}

static enum status set_timer(void *loop, int64_t milliseconds, void (*expired)(void *context),
                             void *context)
{
    const struct context before = context_enter(NULL);
    enum status status = pump_set_timer(loop, milliseconds, expired, context);
    context_leave(&before);
    return status;
}

static bool turn_is_long(void *loop)
{
    return pump_turn_is_long(loop);
}

static void release(void *object)
{
    upstream_release(object);
}

struct upstream *upstream_of_pump(struct pump *pump, const char *ca_path)
{
    struct upstream *upstream = pump_attachment(pump);
    if (upstream == NULL) {
        const struct upstream_loop loop = {.watch = watch,
                                           .unwatch = unwatch,
                                           .set_timer = set_timer,
                                           .turn_is_long = turn_is_long,
                                           .loop = pump};
        if (upstream_create(&upstream, &loop, ca_path) == STATUS_OK) {
            pump_attach(pump, upstream, release);
        }
    }
    return upstream;
}
