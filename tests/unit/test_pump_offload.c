/*
 * The pump: work that streams give away, the end of the program, and a pump without threads.
 */
#include "pump_client.h"

/* --- Offloads ------------------------------------------------------------------------------------ */

static void work(void *context)
{
    struct client *client = context;
    CHECK(!pthread_equal(pthread_self(), client->thread));
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL); /* work that takes its time */
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
    CHECK(pthread_equal(pthread_self(), client->thread));
    CHECK(client->works == client->offloads);
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
    start_client(scene->pump, &client, &handlers);
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
    CHECK(client->works == 1);
    on_ended(stream, context);
}

static void stream_outlives_its_offload(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    handlers.start = start_with_work_and_end;
    handlers.ended = ended_waits_for_the_offload;
    struct client client;
    start_client(scene->pump, &client, &handlers);
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
    start_client(scene->pump, &client, &handlers);
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
        start_client(scene->pump, &clients[i], NULL);
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

/* --- In the foreground --------------------------------------------------------------------------- */

static void work_here(void *context)
{
    struct client *client = context;
    CHECK(pthread_equal(pthread_self(), client->thread));
    atomic_fetch_add(&client->works, 1);
}

static void start_work_here(struct stream *stream, void *context)
{
    struct client *client = context;
    on_start(stream, context);
    write_text(client, "a");
    client->calls_inside++;
    stream_offload(stream, work_here);
    CHECK(client->works == 0);
    client->calls_inside--;
}

static void foreground_pump_runs_streams_and_offloads_in_the_caller(void **state)
{
    (void)state;
    struct pump *pump;
    assert_int_equal(pump_create(&pump, &(struct pump_options){.program = "test"}), STATUS_OK);
    struct stream_handlers handlers = counting;
    handlers.start = start_work_here;
    handlers.offloaded = end_after_saving;
    struct client client;
    start_client(pump, &client, &handlers);
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
        TEST(offload_runs_on_a_worker_and_comes_back_to_the_pump),
        TEST(stream_outlives_its_offload),
        TEST(offload_is_possible_after_the_client_has_left),
        TEST(shutdown_tells_every_stream_and_refuses_new_ones),
        cmocka_unit_test(foreground_pump_runs_streams_and_offloads_in_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
