/*
 * loopback: an exchange whose client is a buffer.
 */
#include "transport/loopback.h"

#include "base/clock.h"
#include "transport/exchange_setup.h"
#include "transport/pump_private.h"

struct loopback {
    struct exchange exchange; /* first */
    struct buffer *answer;
    bool is_complete;
};

static enum status flush(struct exchange *exchange)
{
    struct loopback *loopback = (struct loopback *)exchange;
    size_t waiting = exchange_waiting(exchange);
    enum status status =
        buffer_append(loopback->answer, exchange->output.data + exchange->output_sent, waiting);
    exchange_mark_sent(exchange, waiting);
    return status == STATUS_OK ? STATUS_OK : STATUS_CLOSED;
}

static void complete(struct exchange *exchange)
{
    (void)flush(exchange); /* a full answer says so itself: its status sticks */
    ((struct loopback *)exchange)->is_complete = true;
}

static void abandon(struct exchange *exchange)
{
    ((struct loopback *)exchange)->is_complete = true;
}

static int descriptor_of(const struct exchange *exchange)
{
    (void)exchange;
    return -1;
}

static bool peer_has_gone(struct exchange *exchange)
{
    (void)exchange;
    return false;
}

static const struct exchange_operations operations = {
    .flush = flush,
    .complete = complete,
    .abandon = abandon,
    .descriptor = descriptor_of,
    .input_tells_leave = false,
    .peer_has_gone = peer_has_gone,
};

enum status loopback_run(const struct exchange_handlers *handlers, const char *const *parameters,
                         struct slice body, struct buffer *answer)
{
    struct loopback loopback = {.answer = answer};
    struct exchange *exchange = &loopback.exchange;
    struct pump *pump_before = pump_of_loopback;
    struct pump *pump = NULL;
    exchange_init(exchange, &operations);
    exchange_reset(exchange);
    exchange->started_nanoseconds = clock_monotonic_nanoseconds();
    enum status status = pump_create(&pump, &(struct pump_options){.program = "loopback"});
    if (status != STATUS_OK) {
        goto out;
    }
    pump_of_loopback = pump;
    status = exchange_set_environment(exchange, parameters);
    if (status != STATUS_OK) {
        goto out;
    }
    exchange_plan(exchange, handlers);
    if (exchange_admit(exchange, handlers)) {
        exchange_set_body(exchange, body, body.length > exchange->body_maximum);
        exchange_handle(exchange, handlers);
        pump_run(pump);
    }
    status = loopback.is_complete ? buffer_status(answer) : STATUS_INTERNAL;

out:
    pump_release(pump);
    pump_of_loopback = pump_before;
    exchange_release(exchange);
    return status;
}
