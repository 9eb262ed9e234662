/*
 * The pump: streams and their clients.
 */
#include "pump_help.h"

/* --- An exchange whose client is the other end of a socket pair ------------------------------ */

struct client {
    struct exchange exchange; /* first */
    int ours;
    int theirs;
    atomic_int completed;
    atomic_int abandoned;
    sem_t over;
    const struct stream_handlers *handlers;
    /* What handlers have seen. */
    struct stream *stream;
    pthread_t thread;
    int calls_inside; /* > 0 while a call of ours to the stream runs */
    atomic_int starts;
    atomic_int lags;
    atomic_int recoveries;
    atomic_int leaves;
    atomic_int timers;
    atomic_int works;
    atomic_int offloads;
    atomic_int shutdowns;
    atomic_int ends;
    uint64_t times[16];
    struct pump *pump;
};

static enum status flush(struct exchange *exchange)
{
    struct client *client = (struct client *)exchange;
    while (exchange_waiting(exchange) > 0) {
        ssize_t sent = send(client->ours, exchange->output.data + exchange->output_sent,
                            exchange_waiting(exchange), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            return errno == EAGAIN ? STATUS_BUSY : STATUS_CLOSED;
        }
        exchange_mark_sent(exchange, (size_t)sent);
    }
    return STATUS_OK;
}

static void leave_it(struct client *client)
{
    exchange_release(&client->exchange);
    close(client->ours);
    sem_post(&client->over);
}

static void complete(struct exchange *exchange)
{
    struct client *client = (struct client *)exchange;
    assert_int_equal(exchange_waiting(exchange), 0);
    atomic_fetch_add(&client->completed, 1);
    leave_it(client);
}

static void abandon(struct exchange *exchange)
{
    struct client *client = (struct client *)exchange;
    atomic_fetch_add(&client->abandoned, 1);
    leave_it(client);
}

static int descriptor_of(const struct exchange *exchange)
{
    return ((const struct client *)exchange)->ours;
}

static bool peer_has_gone(struct exchange *exchange)
{
    char byte;
    ssize_t length = recv(((struct client *)exchange)->ours, &byte, 1, MSG_DONTWAIT);
    return length == 0 || (length < 0 && errno != EAGAIN);
}

static const struct exchange_operations operations = {.flush = flush,
                                                      .complete = complete,
                                                      .abandon = abandon,
                                                      .descriptor = descriptor_of,
                                                      .input_tells_leave = true,
                                                      .peer_has_gone = peer_has_gone};

/* --- Handlers that count ------------------------------------------------------------------------- */

static void count_call(struct client *client, struct stream *stream, atomic_int *counter)
{
    assert_int_equal(client->calls_inside, 0);
    assert_ptr_equal(stream_exchange(stream), &client->exchange);
    atomic_fetch_add(counter, 1);
}

static void on_start(struct stream *stream, void *context)
{
    struct client *client = context;
    client->stream = stream;
    client->thread = pthread_self();
    count_call(client, stream, &client->starts);
}

static void on_lagging(struct stream *stream, bool is_lagging, void *context)
{
    struct client *client = context;
    count_call(client, stream, is_lagging ? &client->lags : &client->recoveries);
    assert_int_equal(stream_is_lagging(stream), is_lagging);
}

static void on_client_gone(struct stream *stream, void *context)
{
    struct client *client = context;
    count_call(client, stream, &client->leaves);
    assert_true(stream_client_has_gone(stream));
    stream_end(stream);
}

static void on_timer(struct stream *stream, void *context)
{
    struct client *client = context;
    count_call(client, stream, &client->timers);
}

static void on_offloaded(struct stream *stream, void *context)
{
    struct client *client = context;
    count_call(client, stream, &client->offloads);
}

static void on_shutdown(struct stream *stream, void *context)
{
    struct client *client = context;
    count_call(client, stream, &client->shutdowns);
    stream_write(stream, slice_of("bye"));
    stream_end(stream);
}

static void on_ended(struct stream *stream, void *context)
{
    struct client *client = context;
    count_call(client, stream, &client->ends);
}

static void write_text(struct client *client, const char *text)
{
    client->calls_inside++;
    stream_write(client->stream, slice_of(text));
    client->calls_inside--;
}

static void end(struct client *client)
{
    client->calls_inside++;
    stream_end(client->stream);
    client->calls_inside--;
}

/* All of them; a test replaces what it is about. */
static const struct stream_handlers counting = {.start = on_start,
                                                .lagging = on_lagging,
                                                .client_gone = on_client_gone,
                                                .timer = on_timer,
                                                .offloaded = on_offloaded,
                                                .shutdown = on_shutdown,
                                                .ended = on_ended};

static void open_client(struct client *client)
{
    int pair[2];
    *client = (struct client){.handlers = &counting};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    client->ours = pair[0];
    client->theirs = pair[1];
    sem_init(&client->over, 0, 0);
    exchange_init(&client->exchange, &operations);
    exchange_reset(&client->exchange);
}

static void adopt(struct pump *pump, struct client *client)
{
    client->pump = pump;
    assert_int_equal(pump_adopt(pump, &client->exchange, client->handlers, client), STATUS_OK);
}

/* What the client reads until the end. */
static size_t read_all(struct client *client, char *out, size_t size)
{
    size_t length = 0;
    char discarded[65536];
    for (;;) {
        ssize_t got = recv(client->theirs, discarded, sizeof(discarded), 0);
        if (got <= 0) {
            break;
        }
        for (ssize_t i = 0; i < got; i++, length++) {
            if (length < size - 1) {
                out[length] = discarded[i];
            }
        }
    }
    out[length < size - 1 ? length : size - 1] = '\0';
    return length;
}

static void close_client(struct client *client)
{
    close(client->theirs);
    sem_destroy(&client->over);
}

/* --- Timers in order ----------------------------------------------------------------------------- */

static void timers_come_out_in_order_whatever_was_set_moved_or_cancelled(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    static struct pump_timer timers[COUNT];
    struct pump_timers heap = {NULL};
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3 * COUNT; i++) {
            struct pump_timer *timer = &timers[random_below(COUNT)];
            if (random_below(4) == 0) {
                pump_timers_cancel(&heap, timer);
                assert_false(timer->is_set);
            } else {
                pump_timers_set(&heap, timer, random_below(1000));
            }
        }
        size_t set = 0;
        for (int i = 0; i < COUNT; i++) {
            set += timers[i].is_set;
        }
        uint64_t last = 0;
        while (heap.root != NULL) {
            assert_true(heap.root->deadline >= last);
            last = heap.root->deadline;
            pump_timers_cancel(&heap, heap.root);
            set--;
        }
        assert_int_equal(set, 0);
    }
}

/* --- Streams --------------------------------------------------------------------------------- */

static void say_and_end(struct stream *stream, void *context)
{
    struct client *client = context;
    on_start(stream, context);
    write_text(client, "hello ");
    write_text(client, "world");
    end(client);
    write_text(client, "ignored");
}

static void stream_sends_what_was_written_and_ends(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.start = say_and_end;
    struct client client;
    open_client(&client);
    client.handlers = &handlers;
    adopt(scene->pump, &client);
    char text[100];
    read_all(&client, text, sizeof(text));
    assert_string_equal(text, "hello world");
    wait_for(&client.over);
    assert_int_equal(client.ends, 1);
    assert_int_equal(client.completed, 1);
    assert_int_equal(client.abandoned + client.leaves + client.lags, 0);
    close_client(&client);
}

static void client_that_leaves_is_told_once_and_nothing_is_sent(void **state)
{
    struct scene *scene = *state;
    struct client client;
    open_client(&client);
    adopt(scene->pump, &client);
    await(&client.starts, 1);
    shutdown(client.theirs, SHUT_RDWR);
    wait_for(&client.over);
    assert_int_equal(client.leaves, 1);
    assert_int_equal(client.ends, 1);
    assert_int_equal(client.abandoned, 1);
    close_client(&client);
}

static void client_that_left_before_the_pump_had_the_stream_is_noticed(void **state)
{
    struct scene *scene = *state;
    struct client client;
    open_client(&client);
    shutdown(client.theirs, SHUT_WR);
    adopt(scene->pump, &client);
    wait_for(&client.over);
    assert_int_equal(client.starts, 1);
    assert_int_equal(client.leaves, 1);
    close_client(&client);
}

static void without_handlers_a_client_that_leaves_ends_the_stream(void **state)
{
    struct scene *scene = *state;
    const struct stream_handlers handlers = {.ended = on_ended};
    struct client client;
    open_client(&client);
    client.handlers = &handlers;
    adopt(scene->pump, &client);
    shutdown(client.theirs, SHUT_RDWR);
    wait_for(&client.over);
    assert_int_equal(client.ends, 1);
    close_client(&client);
}

/* Writes until the stream lags, goes on when it has caught up, 2 MB in all. */
static void pour(struct client *client)
{
    static char block[10000];
    memset(block, 'x', sizeof(block));
    while (!stream_is_lagging(client->stream) && !stream_client_has_gone(client->stream)) {
        if (client->works == 200) {
            end(client);
            return;
        }
        client->works++;
        client->calls_inside++;
        stream_write(client->stream, (struct slice){block, sizeof(block)});
        client->calls_inside--;
    }
}

static void start_pouring(struct stream *stream, void *context)
{
    on_start(stream, context);
    pour(context);
}

static void pour_on(struct stream *stream, bool is_lagging, void *context)
{
    on_lagging(stream, is_lagging, context);
    if (!is_lagging) {
        pour(context);
    }
}

static void lagging_client_pauses_the_source_and_gets_everything(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.start = start_pouring;
    handlers.lagging = pour_on;
    struct client client;
    open_client(&client);
    client.handlers = &handlers;
    adopt(scene->pump, &client);
    await(&client.lags, 1);
    assert_true(client.works < 100);
    char text[10];
    assert_int_equal(read_all(&client, text, sizeof(text)), 2000000);
    wait_for(&client.over);
    assert_int_equal(client.completed, 1);
    assert_int_equal(client.recoveries, client.lags);
    close_client(&client);
}

/* `count` writes of which each alone is larger than the backlog may be. */
static void write_large(struct client *client, int count)
{
    size_t size = STREAM_BACKLOG_MAXIMUM + 1000000;
    char *block = memory_allocate(size);
    client->calls_inside++;
    for (int i = 0; i < count; i++) {
        stream_write(client->stream, (struct slice){block, size});
    }
    client->calls_inside--;
    memory_release(block);
}

static void write_far_too_much(struct stream *stream, void *context)
{
    on_start(stream, context);
    write_large(context, 3);
}

static void client_that_is_too_far_behind_is_dropped(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.start = write_far_too_much;
    struct client client;
    open_client(&client);
    client.handlers = &handlers;
    adopt(scene->pump, &client);
    wait_for(&client.over);
    assert_int_equal(client.leaves, 1);
    assert_int_equal(client.abandoned, 1);
    close_client(&client);
}

static void write_one_large_event(struct stream *stream, void *context)
{
    on_start(stream, context);
    write_large(context, 1);
}

static void end_when_caught_up(struct stream *stream, bool is_lagging, void *context)
{
    on_lagging(stream, is_lagging, context);
    if (!is_lagging) {
        end(context);
    }
}

static void one_event_may_be_larger_than_the_backlog(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.start = write_one_large_event;
    handlers.lagging = end_when_caught_up;
    struct client client;
    open_client(&client);
    client.handlers = &handlers;
    adopt(scene->pump, &client);
    await(&client.lags, 1);
    char text[10];
    assert_int_equal(read_all(&client, text, sizeof(text)), STREAM_BACKLOG_MAXIMUM + 1000000);
    wait_for(&client.over);
    assert_int_equal(client.completed, 1);
    close_client(&client);
}

static void pretend_to_stall(void *context)
{
    struct client *client = context;
    assert_true(client->stream->stall_deadline >
                clock_monotonic_nanoseconds() + UINT64_C(25000000000));
    client->stream->stall_deadline = clock_monotonic_nanoseconds();
    stream_set_timer(client->stream, 1);
}

static void client_that_makes_no_progress_is_dropped(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.start = start_pouring;
    handlers.lagging = on_lagging;
    struct client client;
    open_client(&client);
    client.handlers = &handlers;
    adopt(scene->pump, &client);
    await(&client.lags, 1);
    on_pump(scene->pump, pretend_to_stall, &client);
    wait_for(&client.over);
    assert_int_equal(client.leaves, 1);
    close_client(&client);
}

static void refuse_at_once(struct stream *stream, void *context)
{
    on_start(stream, context);
    ((struct client *)context)->calls_inside++;
    stream_refuse(stream, slice_of("no"));
    ((struct client *)context)->calls_inside--;
    write_text(context, "ignored");
}

static void refused_client_gets_its_last_bytes_and_counts_as_gone(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.start = refuse_at_once;
    struct client client;
    open_client(&client);
    client.handlers = &handlers;
    adopt(scene->pump, &client);
    char text[100];
    read_all(&client, text, sizeof(text));
    assert_string_equal(text, "no");
    wait_for(&client.over);
    assert_int_equal(client.leaves, 1);
    assert_int_equal(client.completed, 1);
    assert_int_equal(client.abandoned, 0);
    close_client(&client);
}

static void start_with_heartbeat(struct stream *stream, void *context)
{
    on_start(stream, context);
    stream_set_heartbeat(stream, 1);
}

static void silent_stream_sends_its_heartbeat(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.start = start_with_heartbeat;
    struct client client;
    open_client(&client);
    client.handlers = &handlers;
    uint64_t before = clock_monotonic_nanoseconds();
    adopt(scene->pump, &client);
    char text[9] = "";
    assert_int_equal(recv(client.theirs, text, 8, MSG_WAITALL), 8);
    uint64_t took = clock_monotonic_nanoseconds() - before;
    assert_string_equal(text, ": ping\n\n");
    assert_in_range(took / 1000000, 990, 1500);
    shutdown(client.theirs, SHUT_RDWR);
    wait_for(&client.over);
    close_client(&client);
}

static void set_two_timers(struct stream *stream, void *context)
{
    on_start(stream, context);
    stream_set_timer(stream, 5000);
    stream_set_timer(stream, 0);
    stream_set_timer(stream, 30);
}

static void note_time_and_repeat(struct stream *stream, void *context)
{
    struct client *client = context;
    on_timer(stream, context);
    client->times[client->timers - 1] = clock_monotonic_nanoseconds();
    if (client->timers == 3) {
        stream_set_timer(stream, 20);
        stream_set_timer(stream, 0);
        stream_end(stream);
    } else {
        stream_set_timer(stream, 20);
    }
}

static void timer_of_a_stream_runs_out_once_each_time_it_is_set(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.start = set_two_timers;
    handlers.timer = note_time_and_repeat;
    struct client client;
    open_client(&client);
    client.handlers = &handlers;
    uint64_t before = clock_monotonic_nanoseconds();
    adopt(scene->pump, &client);
    wait_for(&client.over);
    assert_int_equal(client.timers, 3);
    assert_true(client.times[0] - before >= 30000000);
    assert_true(client.times[2] - client.times[1] >= 20000000);
    assert_true(client.times[2] - before < 1000000000);
    close_client(&client);
}

/* --- Offloads ------------------------------------------------------------------------------------ */

static void work(void *context)
{
    struct client *client = context;
    assert_false(pthread_equal(pthread_self(), client->thread));
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    atomic_fetch_add(&client->works, 1);
}

static void start_with_work(struct stream *stream, void *context)
{
    on_start(stream, context);
    stream_offload(stream, work);
}

static void work_again_then_end(struct stream *stream, void *context)
{
    struct client *client = context;
    on_offloaded(stream, context);
    assert_true(pthread_equal(pthread_self(), client->thread));
    assert_int_equal(client->works, client->offloads);
    if (client->offloads < 3) {
        stream_offload(stream, work);
    } else {
        end(client);
    }
}

static void offload_runs_on_a_worker_and_comes_back_to_the_pump(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.start = start_with_work;
    handlers.offloaded = work_again_then_end;
    struct client client;
    open_client(&client);
    client.handlers = &handlers;
    adopt(scene->pump, &client);
    wait_for(&client.over);
    assert_int_equal(client.works, 3);
    assert_int_equal(client.offloads, 3);
    close_client(&client);
}

static void start_with_work_and_end(struct stream *stream, void *context)
{
    start_with_work(stream, context);
    end(context);
}

static void ended_waits_for_the_offload(struct stream *stream, void *context)
{
    struct client *client = context;
    assert_int_equal(client->works, 1);
    on_ended(stream, context);
}

static void stream_outlives_its_offload(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.start = start_with_work_and_end;
    handlers.ended = ended_waits_for_the_offload;
    struct client client;
    open_client(&client);
    client.handlers = &handlers;
    adopt(scene->pump, &client);
    wait_for(&client.over);
    assert_int_equal(client.offloads, 0);
    assert_int_equal(client.ends, 1);
    close_client(&client);
}

static void save_what_there_is(struct stream *stream, void *context)
{
    count_call(context, stream, &((struct client *)context)->leaves);
    stream_write(stream, slice_of("nobody reads this"));
    stream_offload(stream, work);
}

static void end_after_saving(struct stream *stream, void *context)
{
    on_offloaded(stream, context);
    stream_end(stream);
}

static void offload_is_possible_after_the_client_has_left(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.client_gone = save_what_there_is;
    handlers.offloaded = end_after_saving;
    struct client client;
    open_client(&client);
    client.handlers = &handlers;
    adopt(scene->pump, &client);
    await(&client.starts, 1);
    shutdown(client.theirs, SHUT_RDWR);
    wait_for(&client.over);
    assert_int_equal(client.leaves, 1);
    assert_int_equal(client.works, 1);
    assert_int_equal(client.offloads, 1);
    close_client(&client);
}

/* --- Stopping ------------------------------------------------------------------------------------ */

static void shutdown_tells_every_stream_and_refuses_new_ones(void **state)
{
    struct scene *scene = *state;
    enum { COUNT = 20 };
    static struct client clients[COUNT];
    for (int i = 0; i < COUNT; i++) {
        open_client(&clients[i]);
        adopt(scene->pump, &clients[i]);
    }
    pump_shut_down(scene->pump);
    for (int i = 0; i < COUNT; i++) {
        char text[10];
        read_all(&clients[i], text, sizeof(text));
        assert_string_equal(text, "bye");
        wait_for(&clients[i].over);
        assert_int_equal(clients[i].shutdowns, 1);
        assert_int_equal(clients[i].completed, 1);
        close_client(&clients[i]);
    }
    struct client late;
    open_client(&late);
    assert_int_equal(pump_adopt(scene->pump, &late.exchange, &counting, &late), STATUS_CLOSED);
    exchange_release(&late.exchange);
    close(late.ours);
    close_client(&late);
}

static void thousands_of_streams_end_each_in_its_time(void **state)
{
    struct scene *scene = *state;
    enum { COUNT = 1000 };
    struct stream_handlers handlers = counting;
    handlers.start = set_two_timers;
    handlers.timer = note_time_and_repeat;
    struct client *clients = memory_allocate(COUNT * sizeof(*clients));
    for (int i = 0; i < COUNT; i++) {
        open_client(&clients[i]);
        clients[i].handlers = &handlers;
        adopt(scene->pump, &clients[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        wait_for(&clients[i].over);
        assert_int_equal(clients[i].timers, 3);
        close_client(&clients[i]);
    }
    memory_release(clients);
}

/* --- In the foreground --------------------------------------------------------------------------- */

static void work_here(void *context)
{
    struct client *client = context;
    assert_true(pthread_equal(pthread_self(), client->thread));
    atomic_fetch_add(&client->works, 1);
}

static void start_work_here(struct stream *stream, void *context)
{
    struct client *client = context;
    on_start(stream, context);
    write_text(client, "a");
    client->calls_inside++;
    stream_offload(stream, work_here);
    assert_int_equal(client->works, 0);
    client->calls_inside--;
}

static void foreground_pump_runs_streams_and_offloads_in_the_caller(void **state)
{
    (void)state;
    struct pump *pump;
    assert_int_equal(pump_create(&pump, NULL, "test"), STATUS_OK);
    struct stream_handlers handlers = counting;
    handlers.start = start_work_here;
    handlers.offloaded = end_after_saving;
    struct client client;
    open_client(&client);
    client.handlers = &handlers;
    adopt(pump, &client);
    pump_run(pump);
    assert_int_equal(client.works, 1);
    assert_int_equal(client.completed, 1);
    char text[10];
    read_all(&client, text, sizeof(text));
    assert_string_equal(text, "a");
    pump_release(pump);
    close_client(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_come_out_in_order_whatever_was_set_moved_or_cancelled),
        TEST(stream_sends_what_was_written_and_ends),
        TEST(client_that_leaves_is_told_once_and_nothing_is_sent),
        TEST(client_that_left_before_the_pump_had_the_stream_is_noticed),
        TEST(without_handlers_a_client_that_leaves_ends_the_stream),
        TEST(lagging_client_pauses_the_source_and_gets_everything),
        TEST(one_event_may_be_larger_than_the_backlog),
        TEST(client_that_is_too_far_behind_is_dropped),
        TEST(client_that_makes_no_progress_is_dropped),
        TEST(refused_client_gets_its_last_bytes_and_counts_as_gone),
        TEST(silent_stream_sends_its_heartbeat),
        TEST(timer_of_a_stream_runs_out_once_each_time_it_is_set),
        TEST(offload_runs_on_a_worker_and_comes_back_to_the_pump),
        TEST(stream_outlives_its_offload),
        TEST(offload_is_possible_after_the_client_has_left),
        TEST(shutdown_tells_every_stream_and_refuses_new_ones),
        TEST(thousands_of_streams_end_each_in_its_time),
        cmocka_unit_test(foreground_pump_runs_streams_and_offloads_in_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
