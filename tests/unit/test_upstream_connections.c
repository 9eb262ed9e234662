/*
 * Connections to others: whose request they carry, when they are given up, and that nobody waits
 * for a peer that is not there.
 */
#include "upstream_help.h"

#include <netdb.h>

#include "upstream/upstream_pool.h"

/* --- A name server that says nothing --------------------------------------------------------- */

#define UNANSWERED_SECONDS 3

static atomic_int lookups;

/* Takes the place of the C library's for libcurl too. The tests use no other names. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    (void)name;
    (void)service;
    (void)hints;
    *out = NULL;
    atomic_fetch_add(&lookups, 1);
    server_pause(UNANSWERED_SECONDS * 1000);
    return EAI_AGAIN;
}

static uint64_t last_tick;
static uint64_t longest_pause;

static void tick(void *context)
{
    uint64_t now = clock_monotonic_nanoseconds();
    (void)context;
    longest_pause = now - last_tick > longest_pause ? now - last_tick : longest_pause;
    last_tick = now;
    CHECK(pump_set_timer(pump, 5, tick, &last_tick) == STATUS_OK);
}

static void start_ticking(void *context)
{
    (void)context;
    last_tick = clock_monotonic_nanoseconds();
    longest_pause = 0;
    tick(NULL);
}

static void stop_ticking(void *context)
{
    (void)context;
    CHECK(pump_set_timer(pump, -1, tick, &last_tick) == STATUS_OK);
}

/* A call that has ended is gone. */
static void cancel_here(void *context)
{
    struct call *call = context;
    if (call->ends == 0) {
        upstream_cancel(call->call);
    }
}

static void name_server_that_does_not_answer_holds_up_its_own_call_only(void **state)
{
    (void)state;
    struct call late;
    struct call left;
    on_pump(pump, start_ticking, NULL);
    open_call(&late, "/");
    open_call(&left, "/");
    snprintf(late.url, sizeof(late.url), "http://black-hole.test/");
    snprintf(left.url, sizeof(left.url), "http://black-hole.test/");
    late.request.connect_timeout_milliseconds = 300;
    start(&late);
    start(&left);
    await(&lookups, 2);
    on_pump(pump, cancel_here, &left);
    expect_result("/", UPSTREAM_COMPLETE);
    wait_for(&late.over);
    assert_int_equal(late.result, UPSTREAM_TIMEOUT);
    assert_false(late.has_sent);
    assert_in_range(late.took, 300, UNANSWERED_SECONDS * 1000 - 500);
    on_pump(pump, stop_ticking, NULL);
    assert_in_range(longest_pause / 1000000, 0, 200);
    close_call(&late);
    close_call(&left);
}

/* Until its lookup has begun, or it has been refused one. */
static void await_lookup_or_end(struct call *call, int seen)
{
    for (int i = 0; i < 5000 && lookups == seen && call->ends == 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_true(lookups > seen || call->ends > 0);
}

static void name_server_that_does_not_answer_costs_a_bounded_number_of_threads(void **state)
{
    (void)state;
    int before = lookups;
    for (int i = 0; i < 4 * LOOKUPS_LEFT_MAXIMUM; i++) {
        struct call call;
        open_call(&call, "/");
        snprintf(call.url, sizeof(call.url), "http://black-hole-%d.test/", i);
        int seen = lookups;
        start(&call);
        await_lookup_or_end(&call, seen);
        on_pump(pump, cancel_here, &call);
        close_call(&call);
    }
    expect_result("/", UPSTREAM_COMPLETE);
    assert_in_range(lookups - before, 1, LOOKUPS_LEFT_MAXIMUM);
}

/* --- How often a request is sent --------------------------------------------------------------- */

enum { KEPT = 4 };

static void open_kept_connections(void)
{
    struct call calls[KEPT];
    for (int i = 0; i < KEPT; i++) {
        open_call(&calls[i], "/chunks");
        start(&calls[i]);
    }
    for (int i = 0; i < KEPT; i++) {
        wait_for(&calls[i].over);
        assert_int_equal(calls[i].result, UPSTREAM_COMPLETE);
        assert_true(calls[i].has_sent);
        close_call(&calls[i]);
    }
}

static void request_is_sent_once_when_its_kept_connection_ends(void **state)
{
    (void)state;
    open_kept_connections();
    static const char *const methods[] = {"POST", "GET"};
    for (int i = 0; i < 2; i++) {
        int connections = server.connections;
        int hang_ups = server.hang_ups;
        struct call call;
        open_call(&call, "/hangs-up");
        call.request.method = methods[i];
        call.request.body = slice_of(i == 0 ? "{\"costs\":\"money\"}" : "");
        run(&call);
        assert_int_equal(call.result, UPSTREAM_BROKEN);
        assert_true(call.has_sent);
        assert_int_equal(server.connections, connections); /* a kept one was used */
        assert_int_equal(server.hang_ups, hang_ups + 1);
        close_call(&call);
    }
    expect_result("/", UPSTREAM_COMPLETE);
}

/* --- Waiting for a connection ------------------------------------------------------------------ */

static void nobody_waits_longer_to_connect_than_he_asked_for(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    struct call calls[COUNT];
    struct deaf_port deaf;
    deaf_port_open(&deaf);
    for (int i = 0; i < COUNT; i++) {
        open_call(&calls[i], "/");
        snprintf(calls[i].url, sizeof(calls[i].url), "http://127.0.0.1:%d/", deaf.port);
        calls[i].request.connect_timeout_milliseconds = 400;
        start(&calls[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        wait_for(&calls[i].over);
        assert_int_equal(calls[i].result, UPSTREAM_TIMEOUT);
        assert_false(calls[i].has_sent);
        assert_in_range(calls[i].took, 390, 400 + LATE_MILLISECONDS);
        close_call(&calls[i]);
    }
    deaf_port_close(&deaf);
}

static void dead_origin_holds_up_nobody_elses_calls(void **state)
{
    (void)state;
    enum { COUNT = 100 }; /* more than may be connecting at a time */
    struct call *calls = memory_allocate(COUNT * sizeof(*calls));
    struct deaf_port deaf;
    deaf_port_open(&deaf);
    for (int i = 0; i < COUNT; i++) {
        open_call(&calls[i], "/");
        snprintf(calls[i].url, sizeof(calls[i].url), "http://127.0.0.1:%d/", deaf.port);
        calls[i].request.connect_timeout_milliseconds = 60000;
        start(&calls[i]);
    }
    for (int i = 0; i < 10; i++) {
        struct call call;
        open_call(&call, "/");
        run(&call);
        assert_int_equal(call.result, UPSTREAM_COMPLETE);
        assert_in_range(call.took, 0, 1000);
        close_call(&call);
    }
    for (int i = 0; i < COUNT; i++) {
        on_pump(pump, cancel_here, &calls[i]);
        assert_int_equal(calls[i].ends, 0);
        close_call(&calls[i]);
    }
    memory_release(calls);
    deaf_port_close(&deaf);
}

/* --- How long a connection is used ------------------------------------------------------------- */

static void set_ages(void *context)
{
    const int64_t *ages = context;
    upstream->pool_idle_milliseconds = ages[0];
    upstream->pool_lifetime_milliseconds = ages[1];
}

/* Before the server loses patience with those that are kept. */
static void wait_until_all_are_closed(void)
{
    for (int i = 0; i < SERVER_PATIENCE * 100 && server.open > 0; i++) {
        server_pause(5);
    }
    assert_int_equal(server.open, 0);
}

static void connection_that_nobody_uses_is_closed(void **state)
{
    (void)state;
    on_pump(pump, set_ages, (int64_t[]){50, 600000});
    expect_result("/", UPSTREAM_COMPLETE);
    wait_until_all_are_closed();
    on_pump(pump, set_ages, (int64_t[]){POOL_IDLE_MILLISECONDS, POOL_LIFETIME_MILLISECONDS});
    expect_result("/", UPSTREAM_COMPLETE);
}

static void old_connection_takes_no_more_calls_and_ends_with_its_last(void **state)
{
    (void)state;
    struct call old;
    open_call(&old, "/chunks");
    start(&old);
    wait_for(&old.happened);
    server_pause(30);
    on_pump(pump, set_ages, (int64_t[]){POOL_IDLE_MILLISECONDS, 20});
    int connections = server.connections;
    struct call first;
    open_call(&first, "/stalls");
    start(&first);
    await(&first.answers, 1);
    assert_int_equal(server.connections, connections + 1);
    wait_for(&old.over); /* undisturbed */
    assert_int_equal(old.result, UPSTREAM_COMPLETE);
    on_pump(pump, set_ages, (int64_t[]){POOL_IDLE_MILLISECONDS, POOL_LIFETIME_MILLISECONDS});
    on_pump(pump, cancel_here, &first);
    wait_until_all_are_closed();
    close_call(&first);
    close_call(&old);
}

static void call_that_waited_in_vain_leaves_its_connections_to_nobody(void **state)
{
    (void)state;
    open_kept_connections();
    struct call silent;
    open_call(&silent, "/silent");
    silent.request.first_byte_timeout_milliseconds = 100;
    int connections = server.connections;
    run(&silent);
    assert_int_equal(silent.result, UPSTREAM_TIMEOUT);
    assert_int_equal(server.connections, connections);
    expect_result("/", UPSTREAM_COMPLETE);
    assert_int_equal(server.connections, connections + 1);
    close_call(&silent);
}

static int count_descriptors(void)
{
    int count = 0;
    for (int i = 0; i < 1024; i++) {
        count += fcntl(i, F_GETFD) != -1;
    }
    return count;
}

static void storm_of_failures_leaves_no_descriptor_behind(void **state)
{
    (void)state;
    static const char *const paths[] = {"/hangs-up", "/truncated", "/nonsense",       "/silent",
                                        "/stalls",   "/",          "/truncated-chunk"};
    enum { COUNT = 70 };
    struct call *calls = memory_allocate(COUNT * sizeof(*calls));
    wait_until_all_are_closed();
    int before = count_descriptors();
    on_pump(pump, set_ages, (int64_t[]){50, 600000});
    for (int i = 0; i < COUNT; i++) {
        open_call(&calls[i], paths[i % 7]);
        calls[i].request.first_byte_timeout_milliseconds = 300;
        calls[i].request.idle_timeout_milliseconds = 300;
        start(&calls[i]);
        if (i % 5 == 4) {
            on_pump(pump, cancel_here, &calls[i]);
        }
    }
    for (int i = 0; i < COUNT; i++) {
        if (i % 5 != 4) {
            wait_for(&calls[i].over);
        }
        close_call(&calls[i]);
    }
    memory_release(calls);
    wait_until_all_are_closed();
    assert_true(count_descriptors() <= before);
    on_pump(pump, set_ages, (int64_t[]){POOL_IDLE_MILLISECONDS, POOL_LIFETIME_MILLISECONDS});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_server_that_does_not_answer_holds_up_its_own_call_only),
        cmocka_unit_test(name_server_that_does_not_answer_costs_a_bounded_number_of_threads),
        cmocka_unit_test(request_is_sent_once_when_its_kept_connection_ends),
        cmocka_unit_test(nobody_waits_longer_to_connect_than_he_asked_for),
        cmocka_unit_test(dead_origin_holds_up_nobody_elses_calls),
        cmocka_unit_test(connection_that_nobody_uses_is_closed),
        cmocka_unit_test(old_connection_takes_no_more_calls_and_ends_with_its_last),
        cmocka_unit_test(storm_of_failures_leaves_no_descriptor_behind),
        cmocka_unit_test(call_that_waited_in_vain_leaves_its_connections_to_nobody),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
