/*
 * The pump: streams and their clients.
 */
#include "pump_client.h"

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
    start_client(scene->pump, &client, &handlers);
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
    start_client(scene->pump, &client, NULL);
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
    adopt(scene->pump, &client, NULL);
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
    start_client(scene->pump, &client, &handlers);
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
    start_client(scene->pump, &client, &handlers);
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
    start_client(scene->pump, &client, &handlers);
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
    adopt(scene->pump, &client, &handlers);
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
    start_client(scene->pump, &client, &handlers);
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
    start_client(scene->pump, &client, &handlers);
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
    uint64_t before = clock_monotonic_nanoseconds();
    start_client(scene->pump, &client, &handlers);
    char text[9] = "";
    assert_int_equal(recv(client.theirs, text, 8, MSG_WAITALL), 8);
    uint64_t took = clock_monotonic_nanoseconds() - before;
    assert_string_equal(text, ": ping\n\n");
    assert_in_range(took / 1000000, 990, 3000);
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
    uint64_t before = clock_monotonic_nanoseconds();
    start_client(scene->pump, &client, &handlers);
    wait_for(&client.over);
    assert_int_equal(client.timers, 3);
    assert_true(client.times[0] - before >= 30000000);
    assert_true(client.times[2] - client.times[1] >= 20000000);
    assert_true(client.times[2] - before < 1000000000);
    close_client(&client);
}

static void a_thousand_streams_end_each_in_its_time(void **state)
{
    struct scene *scene = *state;
    enum { COUNT = 1000 };
    struct stream_handlers handlers = counting;
    handlers.start = set_two_timers;
    handlers.timer = note_time_and_repeat;
    struct client *clients = memory_allocate(COUNT * sizeof(*clients));
    for (int i = 0; i < COUNT; i++) {
        start_client(scene->pump, &clients[i], &handlers);
    }
    for (int i = 0; i < COUNT; i++) {
        wait_for(&clients[i].over);
        assert_int_equal(clients[i].timers, 3);
        close_client(&clients[i]);
    }
    memory_release(clients);
}

/* A client that takes so much and then no more. */
static struct exchange_operations dosed_operations;
static size_t dose;

static enum status flush_dose(struct exchange *exchange)
{
    size_t waiting = exchange_waiting(exchange);
    size_t taken = dose < waiting ? dose : waiting;
    dose -= taken;
    exchange_mark_sent(exchange, taken);
    return taken == waiting ? STATUS_OK : STATUS_BUSY;
}

static void write_beyond_the_lag(void *context)
{
    struct client *client = context;
    static char text[STREAM_LAG_BYTES + 1];
    dosed_operations = operations;
    dosed_operations.flush = flush_dose;
    dose = 0;
    client->exchange.operations = &dosed_operations;
    client->calls_inside++;
    stream_write(client->stream, (struct slice){text, STREAM_LAG_BYTES});
    client->calls_inside--;
    stream_set_timer(client->stream, 1);
}

static void write_a_byte(void *context)
{
    stream_write(((struct client *)context)->stream, slice_of("x"));
}

static void take_all_but_half_and_a_byte(void *context)
{
    dose = STREAM_LAG_BYTES / 2;
    stream_set_timer(((struct client *)context)->stream, 1);
}

static void take_a_byte(void *context)
{
    CHECK(((struct client *)context)->recoveries == 0); /* the turn of the timer is over */
    dose = 1;
}

static void take_everything(void *context)
{
    (void)context;
    dose = SIZE_MAX;
}

static void a_lag_begins_beyond_its_bytes_and_ends_at_half_of_them(void **state)
{
    struct scene *scene = *state;
    struct client client;
    start_client(scene->pump, &client, NULL);
    await(&client.starts, 1);
    on_pump(scene->pump, write_beyond_the_lag, &client);
    await(&client.timers, 1);
    assert_int_equal(client.lags, 0);
    on_pump(scene->pump, write_a_byte, &client);
    await(&client.lags, 1);
    on_pump(scene->pump, take_all_but_half_and_a_byte, &client);
    await(&client.timers, 2);
    on_pump(scene->pump, take_a_byte, &client);
    await(&client.recoveries, 1);
    assert_int_equal(client.lags, 1);
    on_pump(scene->pump, take_everything, &client);
    shutdown(client.theirs, SHUT_RDWR);
    wait_for(&client.over);
    close_client(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_lag_begins_beyond_its_bytes_and_ends_at_half_of_them),
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
        TEST(a_thousand_streams_end_each_in_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
