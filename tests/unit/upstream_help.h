/*
 * What tests of upstream/ share: a server that misbehaves, a pump with one worker, and calls that
 * note what their handlers saw. Each program has one of each (open_all, close_all).
 */
#ifndef TESTS_UNIT_UPSTREAM_HELP_H
#define TESTS_UNIT_UPSTREAM_HELP_H

#include "pump_help.h"
#include "transport/pump_upstream.h"
#include "upstream/upstream_pool.h"
#include "upstream_server.h"

static struct upstream_server server;
static struct workers *workers;
static struct pump *pump;
static struct upstream *upstream;

/* --- A call, and what its handlers saw --------------------------------------------------------- */

struct call {
    struct upstream_request request;
    struct upstream_handlers handlers;
    char url[200];
    const char *headers[8];
    struct upstream_call *call;
    struct call *other;
    enum status status; /* of upstream_start */
    atomic_int answers;
    atomic_int pieces;
    atomic_int ends;
    int status_code;
    enum upstream_result result;
    bool has_sent;
    struct buffer body;
    char content_type[100];
    uint64_t started;
    uint64_t took;
    bool is_starting;
    sem_t happened;
    sem_t over;
};

static inline void on_answered(struct upstream_call *upstream_call, int status_code, void *context)
{
    struct call *call = context;
    CHECK(!call->is_starting);
    call->status_code = status_code;
    snprintf(call->content_type, sizeof(call->content_type), "%s",
             upstream_head_find(&upstream_call->head, "CONTENT-type"));
    atomic_fetch_add(&call->answers, 1);
}

static inline void on_data(struct upstream_call *upstream_call, struct slice bytes, void *context)
{
    struct call *call = context;
    (void)upstream_call;
    CHECK(!call->is_starting);
    CHECK(call->answers == 1);
    buffer_append(&call->body, bytes.data, bytes.length);
    atomic_fetch_add(&call->pieces, 1);
    sem_post(&call->happened);
}

static inline void on_done(struct upstream_call *upstream_call, enum upstream_result result,
                           void *context)
{
    struct call *call = context;
    CHECK(!call->is_starting);
    CHECK(upstream_call == call->call);
    call->result = result;
    call->has_sent = upstream_has_sent(upstream_call);
    call->took = (clock_monotonic_nanoseconds() - call->started) / 1000000;
    atomic_fetch_add(&call->ends, 1);
    sem_post(&call->over);
}

static inline void open_call(struct call *call, const char *path)
{
    *call = (struct call){.handlers = {on_answered, on_data, on_done}};
    snprintf(call->url, sizeof(call->url), "http://127.0.0.1:%d%s", server.port, path);
    call->request =
        (struct upstream_request){.method = "GET", .url = call->url, .headers = call->headers};
    buffer_init(&call->body, 16 << 20);
    sem_init(&call->happened, 0, 0);
    sem_init(&call->over, 0, 0);
}

static inline void close_call(struct call *call)
{
    buffer_release(&call->body);
    sem_destroy(&call->happened);
    sem_destroy(&call->over);
}

static inline void start_here(void *context)
{
    struct call *call = context;
    call->started = clock_monotonic_nanoseconds();
    call->is_starting = true;
    call->status = upstream_start(upstream, &call->request, &call->handlers, call, &call->call);
    call->is_starting = false;
}

static inline void start(struct call *call)
{
    on_pump(pump, start_here, call);
    assert_int_equal(call->status, STATUS_OK);
}

static inline void run(struct call *call)
{
    start(call);
    wait_for(&call->over);
    assert_int_equal(call->ends, 1);
}

static inline void expect_result(const char *path, enum upstream_result result)
{
    struct call call;
    open_call(&call, path);
    run(&call);
    assert_string_equal(upstream_result_text(call.result), upstream_result_text(result));
    close_call(&call);
}

static inline void make_upstream(void *context)
{
    (void)context;
    upstream = upstream_of_pump(pump, "");
    assert_ptr_equal(upstream_of_pump(pump, ""), upstream);
}

static inline int open_all(void **state)
{
    (void)state;
    /* Where every request would go if the environment counted. */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("HTTP_PROXY", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    server_start(&server, NULL);
    if (workers_start(&workers, "test", 1, 10) != STATUS_OK ||
        pump_create(&pump, &(struct pump_options){.workers = workers, .program = "test"}) !=
            STATUS_OK) {
        return -1;
    }
    on_pump(pump, make_upstream, NULL);
    return upstream == NULL ? -1 : 0;
}

static inline int close_all(void **state)
{
    (void)state;
    pump_shut_down(pump);
    workers_stop(workers);
    pump_release(pump);
    server_stop(&server);
    return atomic_exchange(&check_faults, 0) == 0 ? 0 : -1;
}

#endif
