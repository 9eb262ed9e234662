/*
 * The pump's clocks: when a silent stream says that it lives, and when a slow client is given up.
 */
#include "pump_client.h"

#define SECOND UINT64_C(1000000000)

static void start_with_long_heartbeat(struct stream *stream, void *context)
{
    on_start(stream, context);
    stream_set_heartbeat(stream, 20);
}

static void write_when_a_heartbeat_is_nearly_due(void *context)
{
    struct client *client = context;
    client->stream->heartbeat_deadline = clock_monotonic_nanoseconds() + SECOND;
    write_text(client, "word");
    client->times[0] = client->stream->heartbeat_deadline;
}

static void heartbeat_counts_from_the_last_write(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.start = start_with_long_heartbeat;
    struct client client;
    start_client(scene->pump, &client, &handlers);
    await(&client.starts, 1);
    on_pump(scene->pump, write_when_a_heartbeat_is_nearly_due, &client);
    char text[5] = "";
    assert_int_equal(recv(client.theirs, text, 4, MSG_WAITALL), 4);
    assert_string_equal(text, "word");
    shutdown(client.theirs, SHUT_RDWR);
    wait_for(&client.over);
    close_client(&client);
    assert_true(client.times[0] > clock_monotonic_nanoseconds() + 15 * SECOND);
}

static void let_a_heartbeat_be_due(void *context)
{
    struct client *client = context;
    client->stream->heartbeat_deadline = clock_monotonic_nanoseconds();
    stream_set_timer(client->stream, 1); /* a look at the clock */
}

static void heartbeats_go_on_after_the_first(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.start = start_with_long_heartbeat;
    struct client client;
    start_client(scene->pump, &client, &handlers);
    await(&client.starts, 1);
    for (int i = 0; i < 3; i++) {
        on_pump(scene->pump, let_a_heartbeat_be_due, &client);
        char text[9] = "";
        assert_int_equal(recv(client.theirs, text, 8, MSG_WAITALL), 8);
        assert_string_equal(text, ": ping\n\n");
    }
    shutdown(client.theirs, SHUT_RDWR);
    wait_for(&client.over);
    close_client(&client);
}

#define LONG_TEXT (240 << 10) /* more than a socket takes at once, less than the backlog */

static void write_long_text(void *context)
{
    struct client *client = context;
    static char text[LONG_TEXT];
    memset(text, 'w', sizeof(text));
    int size = 16 << 10;
    CHECK(setsockopt(client->ours, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
    client->calls_inside++;
    stream_write(client->stream, (struct slice){text, sizeof(text)});
    client->calls_inside--;
}

/* As if nearly all the time to a deadline had passed; notes how much was left. */
static void bring_near(struct client *client, uint64_t *deadline)
{
    uint64_t now = clock_monotonic_nanoseconds();
    client->times[0] = *deadline - now;
    *deadline = now + SECOND / 4;
    stream_set_timer(client->stream, 300); /* a look at the clock, after that */
}

static void age(void *context)
{
    struct client *client = context;
    bring_near(client, &client->stream->stall_deadline);
}

static void client_that_makes_little_progress_is_kept(void **state)
{
    struct scene *scene = *state;
    struct client client;
    start_client(scene->pump, &client, NULL);
    await(&client.starts, 1);
    on_pump(scene->pump, write_long_text, &client);
    char *text = memory_allocate(LONG_TEXT);
    size_t got = 0;
    for (int looks = 1; looks <= 3; looks++) {
        on_pump(scene->pump, age, &client);
        assert_in_range(client.times[0], 25 * SECOND, STREAM_STALL_SECONDS * SECOND);
        /* Enough for the socket to take some more. */
        for (int i = 0; i < 12; i++) {
            ssize_t length = recv(client.theirs, text, 4 << 10, MSG_WAITALL);
            assert_int_equal(length, 4 << 10);
            got += (size_t)length;
        }
        await(&client.timers, looks);
        assert_int_equal(client.leaves, 0);
    }
    while (got < LONG_TEXT) {
        ssize_t length = recv(client.theirs, text, LONG_TEXT, 0);
        assert_true(length > 0);
        got += (size_t)length;
    }
    assert_int_equal(client.leaves + client.abandoned, 0);
    shutdown(client.theirs, SHUT_RDWR);
    wait_for(&client.over);
    memory_release(text);
    close_client(&client);
}

static void client_that_takes_nothing_is_dropped_when_its_time_is_up(void **state)
{
    struct scene *scene = *state;
    struct client client;
    start_client(scene->pump, &client, NULL);
    await(&client.starts, 1);
    on_pump(scene->pump, write_long_text, &client);
    on_pump(scene->pump, age, &client);
    wait_for(&client.over);
    assert_int_equal(client.leaves, 1);
    assert_int_equal(client.abandoned, 1);
    close_client(&client);
}

static void hurry(void *context)
{
    struct client *client = context;
    bring_near(client, &client->stream->shutdown_deadline);
}

static void client_that_takes_a_little_does_not_keep_a_program_that_stops(void **state)
{
    struct scene *scene = *state;
    struct client client;
    start_client(scene->pump, &client, NULL);
    await(&client.starts, 1);
    on_pump(scene->pump, write_long_text, &client);
    pump_shut_down(scene->pump);
    on_pump(scene->pump, hurry, &client);
    assert_in_range(client.times[0], 15 * SECOND, STREAM_SHUTDOWN_SECONDS * SECOND);
    char text[4 << 10];
    for (int i = 0; i < 12; i++) {
        assert_int_equal(recv(client.theirs, text, sizeof(text), MSG_WAITALL), sizeof(text));
    }
    wait_for(&client.over);
    assert_int_equal(client.abandoned, 1);
    close_client(&client);
}

static void note_timer(void *context)
{
    struct client *client = context;
    const struct stream *stream = client->stream;
    client->times[0] = stream->timer.is_set ? stream->timer.deadline : 0;
    client->times[1] = stream->heartbeat_deadline;
    client->times[2] = stream->user_deadline;
}

static void let_heartbeat_be_first(void *context)
{
    struct client *client = context;
    stream_set_heartbeat(client->stream, 20);
    stream_set_timer(client->stream, 60000);
}

static void let_timer_be_first(void *context)
{
    stream_set_timer(((struct client *)context)->stream, 10000);
}

static void want_nothing(void *context)
{
    struct client *client = context;
    stream_set_heartbeat(client->stream, 0);
    stream_set_timer(client->stream, 0);
}

/* Or the pump would turn for nothing. */
static void stream_is_looked_at_when_the_first_of_its_times_comes(void **state)
{
    struct scene *scene = *state;
    struct client client;
    start_client(scene->pump, &client, NULL);
    await(&client.starts, 1);
    on_pump(scene->pump, note_timer, &client); /* the turn that started it is over now */
    on_pump(scene->pump, note_timer, &client);
    assert_int_equal(client.times[0], 0);
    on_pump(scene->pump, let_heartbeat_be_first, &client);
    on_pump(scene->pump, note_timer, &client);
    assert_true(client.times[0] != 0 && client.times[0] == client.times[1]);
    on_pump(scene->pump, let_timer_be_first, &client);
    on_pump(scene->pump, note_timer, &client);
    assert_true(client.times[0] != 0 && client.times[0] == client.times[2]);
    on_pump(scene->pump, want_nothing, &client);
    on_pump(scene->pump, note_timer, &client);
    assert_int_equal(client.times[0], 0);
    shutdown(client.theirs, SHUT_RDWR);
    wait_for(&client.over);
    close_client(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stream_is_looked_at_when_the_first_of_its_times_comes),
        TEST(heartbeat_counts_from_the_last_write),
        TEST(heartbeats_go_on_after_the_first),
        TEST(client_that_makes_little_progress_is_kept),
        TEST(client_that_takes_nothing_is_dropped_when_its_time_is_up),
        TEST(client_that_takes_a_little_does_not_keep_a_program_that_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
