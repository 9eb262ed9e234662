/*
 * exchange: the parts of a request and its answer that no transport does differently.
 */
#include "transport/exchange.h"

#include <string.h>

#include "transport/exchange_setup.h"

/* An exchange that is used again keeps this much; what a large answer took goes back. */
#define OUTPUT_KEPT (64u << 10)

struct slice exchange_parameter(const struct exchange *exchange, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < exchange->parameter_count; i++) {
        const struct exchange_parameter *parameter = &exchange->parameters[i];
        if (parameter->name.length == length && memcmp(parameter->name.data, name, length) == 0) {
            return parameter->value;
        }
    }
    return (struct slice){.data = "", .length = 0};
}

enum status exchange_write(struct exchange *exchange, struct slice bytes)
{
    return buffer_append(&exchange->output, bytes.data, bytes.length);
}

void exchange_complete(struct exchange *exchange)
{
    exchange->operations->complete(exchange);
}

void exchange_init(struct exchange *exchange, const struct exchange_operations *operations)
{
    *exchange = (struct exchange){.operations = operations};
    arena_init(&exchange->arena, EXCHANGE_ARENA_MAXIMUM);
    buffer_init(&exchange->output, EXCHANGE_OUTPUT_MAXIMUM);
}

void exchange_reset(struct exchange *exchange)
{
    arena_reset(&exchange->arena);
    if (exchange->output.capacity > OUTPUT_KEPT) {
        buffer_release(&exchange->output);
    } else {
        buffer_reset(&exchange->output);
    }
    exchange->output_sent = 0;
    exchange->parameters = NULL;
    exchange->parameter_count = 0;
    exchange->body = (struct slice){.data = "", .length = 0};
    exchange->body_declared = EXCHANGE_LENGTH_UNKNOWN;
    exchange->body_maximum = 0;
    exchange->work = EXCHANGE_QUICK;
    exchange->owner = 0;
    exchange->body_differs = false;
    exchange->body_too_large = false;
    exchange->started_nanoseconds = 0;
    exchange->state = NULL;
    exchange->origin = (struct context){.correlation_id = ""};
}

void exchange_release(struct exchange *exchange)
{
    exchange_reset(exchange);
    arena_destroy(&exchange->arena);
    buffer_release(&exchange->output);
}

void exchange_mark_sent(struct exchange *exchange, size_t count)
{
    exchange->output_sent += count;
    if (exchange_waiting(exchange) == 0) {
        buffer_truncate(&exchange->output, 0);
        exchange->output_sent = 0;
    } else if (exchange->output_sent >= exchange_waiting(exchange)) {
        /* Only now, so that each byte is moved once on average. */
        buffer_consume(&exchange->output, exchange->output_sent);
        exchange->output_sent = 0;
    }
}

static int64_t content_length(const struct exchange *exchange)
{
    int64_t length = 0;
    struct slice text = exchange_parameter(exchange, "CONTENT_LENGTH");
    if (text.length == 0) {
        return EXCHANGE_LENGTH_UNKNOWN;
    }
    bool is_number = text_parse_integer(text, &length) == STATUS_OK && length >= 0;
    return is_number ? length : EXCHANGE_LENGTH_INVALID;
}

void exchange_plan(struct exchange *exchange, const struct exchange_handlers *handlers)
{
    exchange->body_declared = content_length(exchange);
    handlers->plan(exchange, handlers->context);
}

bool exchange_admit(struct exchange *exchange, const struct exchange_handlers *handlers)
{
    const struct context before = context_enter(&exchange->origin);
    bool is_admitted = handlers->admit(exchange, handlers->context);
    if (is_admitted) {
        exchange->origin = *context_current();
    }
    context_leave(&before);
    return is_admitted;
}

void exchange_handle(struct exchange *exchange, const struct exchange_handlers *handlers)
{
    const struct context before = context_enter(&exchange->origin);
    handlers->handle(exchange, handlers->context);
    context_leave(&before);
}

void exchange_refuse(struct exchange *exchange, const struct exchange_handlers *handlers,
                     int status)
{
    const struct context before = context_enter(&exchange->origin);
    handlers->refuse(exchange, status, handlers->context);
    context_leave(&before);
}

void exchange_drop(struct exchange *exchange, const struct exchange_handlers *handlers)
{
    const struct context before = context_enter(&exchange->origin);
    handlers->dropped(exchange, handlers->context);
    context_leave(&before);
}

void exchange_set_body(struct exchange *exchange, struct slice body, bool too_large)
{
    static const struct slice nothing = {.data = "", .length = 0};
    int64_t declared = exchange->body_declared;
    exchange->body_too_large = too_large;
    exchange->body = too_large || body.length == 0 ? nothing : body;
    exchange->body_differs = !too_large && declared >= 0 && body.length != (uint64_t)declared;
}

enum status exchange_set_environment(struct exchange *exchange, const char *const *environment)
{
    size_t count = 0;
    while (environment[count] != NULL) {
        count++;
    }
    struct exchange_parameter *parameters =
        arena_allocate(&exchange->arena, (count + 1) * sizeof(*parameters));
    if (parameters == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(environment[i], '=');
        if (equals != NULL) {
            parameters[used].name.data = environment[i];
            parameters[used].name.length = (size_t)(equals - environment[i]);
            parameters[used].value = slice_of(equals + 1);
            used++;
        }
    }
    exchange->parameters = parameters;
    exchange->parameter_count = used;
    return STATUS_OK;
}
