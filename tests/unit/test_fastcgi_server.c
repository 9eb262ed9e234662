/*
 * The FastCGI side of the transport from within: how long each step may take, what is counted, and
 * that nothing is left of it. What peers see of it is tested in tests/servers as well.
 */
#include "fastcgi_scene.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

/* --- Waiting for a worker -------------------------------------------------------------------- */

static uint64_t moved_back; /* by how much */

static void move_queued_back(struct fastcgi_connection *connection)
{
    connection->queued_at -= moved_back;
}

/* The only worker is busy; then the path is asked for, waits so long, and has its turn. */
static int wait_in_queue(const char *path, uint64_t nanoseconds)
{
    close(ask("/wait"));
    sem_wait(&scene.inside);
    int plans = atomic_load(&scene.plans);
    int peer = ask(path);
    struct fastcgi_connection *connection = await_plan(plans);
    await_state(connection, FASTCGI_HELD, 0);
    moved_back = nanoseconds;
    on_event_thread(move_queued_back, connection);
    return peer;
}

static void request_that_has_waited_ten_seconds_is_told_so(void **state)
{
    (void)state;
    start(1, 10, 100);
    int peer = wait_in_queue("/", 10 * SECOND);
    sem_post(&scene.gate);
    expect_last(peer, "503");
    assert_int_equal(scene.admissions, 1); /* of the one that waited inside */
    peer = wait_in_queue("/", 9 * SECOND);
    sem_post(&scene.gate);
    expect_last(peer, "200 0");
    stop();
}

static void request_that_was_admitted_is_served_however_long_it_waits(void **state)
{
    (void)state;
    start(1, 10, 100);
    int peer = open_peer();
    send_head(peer, "/", 0, 100000);
    struct fastcgi_connection *connection = await_plan(0);
    await_state(connection, FASTCGI_READING, 0);
    assert_int_equal(scene.admissions, 1);
    int first = ask("/wait");
    sem_wait(&scene.inside);
    send_body(peer, 100000, true);
    await_state(connection, FASTCGI_HELD, 0);
    moved_back = 20 * SECOND;
    on_event_thread(move_queued_back, connection);
    sem_post(&scene.gate);
    expect_last(first, "200 0");
    expect_last(peer, "200 100000");
    stop();
}

static void request_of_a_client_that_has_left_is_dropped_after_a_quarter_of_a_second(void **state)
{
    (void)state;
    start(1, 10, 100);
    int peer = wait_in_queue("/", SECOND / 2);
    close(peer);
    sem_post(&scene.gate);
    await(&scene.drops, 1);
    assert_int_equal(scene.answers, 1);
    stop();
    assert_int_equal(scene.answers, 1);
    assert_int_equal(scene.admissions, 1);
}

static void request_that_finds_the_queue_full_is_told_so_at_once(void **state)
{
    (void)state;
    start(1, 1, 100);
    int first = ask("/wait");
    sem_wait(&scene.inside);
    int second = ask("/");
    await_state(await_plan(1), FASTCGI_HELD, 0);
    expect_last(ask("/"), "503");
    assert_int_equal(scene.admissions, 1);
    sem_post(&scene.gate);
    expect_last(first, "200 0");
    expect_last(second, "200 0");
    stop();
}

/* --- Bodies -------------------------------------------------------------------------------------- */

static void small_body_is_taken_in_before_its_request_is_admitted(void **state)
{
    (void)state;
    start(2, 10, 100);
    int peer = open_peer();
    send_head(peer, "/", 0, FASTCGI_SMALL_BODY);
    send_body(peer, FASTCGI_SMALL_BODY, false);
    await_state(await_plan(0), FASTCGI_READING, FASTCGI_SMALL_BODY);
    assert_int_equal(scene.admissions, 0);
    send_body(peer, 0, true);
    expect_last(peer, "200 65536");
    assert_int_equal(scene.admissions, 1);
    /* A byte more: admitted when none of it has come, and once only. */
    peer = open_peer();
    send_head(peer, "/", 0, FASTCGI_SMALL_BODY + 1);
    await(&scene.admissions, 2);
    send_body(peer, FASTCGI_SMALL_BODY + 1, true);
    expect_last(peer, "200 65537");
    assert_int_equal(scene.admissions, 2);
    /* Of unknown length: when it is more than small. */
    int plans = atomic_load(&scene.plans);
    peer = open_peer();
    send_head(peer, "/", 0, -1);
    send_body(peer, FASTCGI_SMALL_BODY, false);
    await_state(await_plan(plans), FASTCGI_READING, FASTCGI_SMALL_BODY);
    assert_int_equal(scene.admissions, 2);
    send_body(peer, 1, false);
    await(&scene.admissions, 3);
    send_body(peer, 1, true);
    expect_last(peer, "200 65538");
    assert_int_equal(scene.admissions, 3);
    stop();
}

static size_t small_bytes_of_others;

static void take_small_bytes(struct fastcgi_connection *connection)
{
    atomic_fetch_add(&connection->server->small_bytes, small_bytes_of_others);
}

static void give_small_bytes(struct fastcgi_connection *connection)
{
    atomic_fetch_sub(&connection->server->small_bytes, small_bytes_of_others);
}

static void bodies_that_are_not_admitted_are_bounded_together(void **state)
{
    (void)state;
    start(2, 10, 100);
    int first = open_peer();
    send_head(first, "/", 0, 10);
    struct fastcgi_connection *connection = await_plan(0);
    small_bytes_of_others = FASTCGI_SMALL_BODIES - 1;
    on_event_thread(take_small_bytes, connection);
    int plans = atomic_load(&scene.plans);
    int second = open_peer();
    send_head(second, "/", 0, 10);
    await_state(await_plan(plans), FASTCGI_READING, 0);
    on_event_thread(give_small_bytes, connection);
    small_bytes_of_others = FASTCGI_SMALL_BODIES;
    on_event_thread(take_small_bytes, connection);
    assert_int_equal(scene.admissions, 0);
    int third = open_peer();
    send_head(third, "/", 0, 10);
    await(&scene.admissions, 1);
    on_event_thread(give_small_bytes, connection);
    const int peers[] = {first, second, third};
    for (int i = 0; i < 3; i++) {
        send_body(peers[i], 10, true);
        expect_last(peers[i], "200 10");
    }
    assert_int_equal(scene.admissions, 3);
    stop();
}

/* --- Deadlines ------------------------------------------------------------------------------- */

static void let_time_pass(struct fastcgi_connection *connection)
{
    uint64_t now = clock_monotonic_nanoseconds();
    pthread_mutex_lock(&connection->lock);
    connection->deadline = now - 1;
    pthread_mutex_unlock(&connection->lock);
    connection->server->next_tick = now;
}

/* Of a clock that was set at `since` or later. */
static void assert_seconds(uint64_t deadline, uint64_t seconds, uint64_t since)
{
    assert_in_range(deadline, since + seconds * SECOND, seen.at + seconds * SECOND);
}

/* As await_state; that state, which began at `since` or later, may last so many seconds. */
static void expect_state(struct fastcgi_connection *connection, enum fastcgi_state state,
                         size_t body, uint64_t seconds, uint64_t since)
{
    await_state(connection, state, body);
    assert_seconds(seen.deadline, seconds, since);
}

static void request_that_does_not_come_in_time_is_408(void **state)
{
    (void)state;
    start(2, 10, 100);
    int peer = open_peer();
    uint64_t since = clock_monotonic_nanoseconds();
    send_head(peer, "/", 0, 10);
    send_body(peer, 5, false);
    struct fastcgi_connection *connection = await_plan(0);
    expect_state(connection, FASTCGI_READING, 5, REQUEST_TIMEOUT, since);
    since = clock_monotonic_nanoseconds();
    on_event_thread(let_time_pass, connection);
    expect(peer, "408");
    assert_int_equal(scene.admissions, 0);
    /* Its input has not ended: bytes that the peer still sends are discarded for a while. */
    expect_state(connection, FASTCGI_LINGERING, 0, 2, since);
    assert_seconds(seen.linger_end, 30, since);
    send_body(peer, 5, false);
    on_event_thread(let_time_pass, connection);
    expect_closed(peer);
    stop();
}

static void body_that_comes_has_more_time_the_more_of_it_has_come(void **state)
{
    (void)state;
    const size_t length = (size_t)20 * FASTCGI_BODY_BYTES_PER_SECOND;
    start(2, 10, 100);
    int peer = open_peer();
    uint64_t since = clock_monotonic_nanoseconds();
    send_head(peer, "/", 0, (long)length + 1);
    struct fastcgi_connection *connection = await_plan(0);
    await(&scene.admissions, 1);
    send_body(peer, length, false);
    expect_state(connection, FASTCGI_READING, length, REQUEST_TIMEOUT + 20, since);
    send_body(peer, 1, true);
    expect_last(peer, "200 163841");
    stop();
}

static void kept_connection_that_is_idle_is_closed(void **state)
{
    (void)state;
    start(2, 10, 100);
    int peer = open_peer();
    uint64_t since = clock_monotonic_nanoseconds();
    send_request(peer, "/", FASTCGI_KEEP_CONNECTION);
    expect(peer, "200 0");
    struct fastcgi_connection *connection = await_plan(0);
    expect_state(connection, FASTCGI_KEPT, 0, IDLE_TIMEOUT, since);
    since = clock_monotonic_nanoseconds();
    /* The next request has all of its time. */
    int plans = atomic_load(&scene.plans);
    send_head(peer, "/", FASTCGI_KEEP_CONNECTION, 10);
    assert_ptr_equal(await_plan(plans), connection);
    expect_state(connection, FASTCGI_READING, 0, REQUEST_TIMEOUT, since);
    since = clock_monotonic_nanoseconds();
    send_body(peer, 10, true);
    expect(peer, "200 10");
    expect_state(connection, FASTCGI_KEPT, 0, IDLE_TIMEOUT, since);
    on_event_thread(let_time_pass, connection);
    expect_closed(peer);
    stop();
}

static void client_that_takes_nothing_of_its_answer_is_closed(void **state)
{
    (void)state;
    start(2, 10, 100);
    uint64_t since = clock_monotonic_nanoseconds();
    int peer = ask("/large");
    struct fastcgi_connection *connection = await_plan(0);
    expect_state(connection, FASTCGI_WRITING, 0, WRITE_TIMEOUT, since);
    on_event_thread(let_time_pass, connection);
    char bytes[65536];
    size_t got = 0;
    ssize_t length;
    /* Its memory serves the errands from now on. */
    for (int i = 0; i < 2000 && seen.state == FASTCGI_WRITING; i++) {
        on_event_thread(look, connection);
    }
    while ((length = recv(peer, bytes, sizeof(bytes), 0)) > 0) {
        got += (size_t)length;
    }
    assert_int_equal(length, 0);
    assert_true(got < (size_t)8 << 20);
    close(peer);
    stop();
}

/* --- Counting -------------------------------------------------------------------------------- */

static void burst_of_connections_gives_its_memory_back(void **state)
{
    (void)state;
    enum { PEERS = 300 };
    int peers[PEERS];
    start(2, 1000, 1000);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < PEERS; i++) {
            peers[i] = open_peer();
            send_request(peers[i], "/", FASTCGI_KEEP_CONNECTION);
        }
        for (int i = 0; i < PEERS; i++) {
            expect(peers[i], "200 0");
        }
        for (int i = 0; i < PEERS; i++) {
            close(peers[i]);
        }
    }
    stop();
    assert_true(scene.turns > 0);
}

static void connection_beyond_the_maximum_waits_until_one_is_closed(void **state)
{
    (void)state;
    start(2, 10, 2);
    int first = ask("/wait");
    int second = ask("/wait");
    sem_wait(&scene.inside);
    sem_wait(&scene.inside);
    int third = ask("/");
    sem_post(&scene.gate);
    expect_last(third, "200 0");
    assert_int_equal(scene.answers, 2);
    sem_post(&scene.gate);
    expect_last(first, "200 0");
    expect_last(second, "200 0");
    stop();
}

static bool was_paused;

static void note_pause(struct fastcgi_connection *connection)
{
    was_paused = connection->server->accept_again != 0;
}

static void leave_an_error(struct fastcgi_connection *connection)
{
    (void)connection;
    errno = EMFILE;
}

/* Until the next peer has connected and sent: then it is read as soon as it is accepted. */
static void hold_event_thread(struct fastcgi_connection *connection)
{
    (void)connection;
    sem_post(&scene.inside);
    sem_wait(&scene.gate);
    scene.errand = leave_an_error;
}

/* Accepting pauses only when accept fails for want of resources, not for an older error. */
static void accepting_goes_on_after_errors_of_others(void **state)
{
    (void)state;
    start(2, 10, 100);
    int peers[3] = {open_peer(), open_peer(), -1};
    send_head(peers[0], "/", FASTCGI_KEEP_CONNECTION, 10);
    scene.subject = await_plan(0);
    scene.errand = hold_event_thread;
    send_head(peers[1], "/errand", 0, 10);
    sem_wait(&scene.inside);
    peers[2] = open_peer();
    send_head(peers[2], "/errand", 0, 10);
    sem_post(&scene.gate);
    await(&scene.plans, 3);
    close(peers[1]);
    close(peers[2]);
    send_body(peers[0], 10, true);
    expect(peers[0], "200 10");
    /* Asked on a connection that need not be accepted. */
    scene.errand = note_pause;
    send_head(peers[0], "/errand", 0, 10);
    await(&scene.plans, 4);
    close(peers[0]);
    assert_false(was_paused);
    stop();
}

static void server_that_cannot_listen_ends_at_once(void **state)
{
    (void)state;
    close(scene.listener);
    scene.listener = -1;
    start(2, 10, 100);
    pthread_join(scene.thread, NULL);
    assert_int_equal(scene.result, 1);
    assert_int_equal(scene.stops, 0);
}

static void first_bytes_of_an_answer_over_tcp_do_not_wait_for_more(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int no_delay = 0;
    close(scene.listener);
    scene.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(scene.listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(scene.listener, 10), 0);
    assert_int_equal(getsockname(scene.listener, (struct sockaddr *)&address, &size), 0);
    start(2, 10, 100);
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&address, size), 0);
    send_head(peer, "/", FASTCGI_KEEP_CONNECTION, 10);
    /* It is the event thread's, and stays open: the rest of its body is still to come. */
    int descriptor = await_plan(0)->descriptor;
    size = sizeof(no_delay);
    assert_int_equal(getsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
    assert_true(no_delay != 0);
    send_body(peer, 10, true);
    expect(peer, "200 10");
    close(peer);
    stop();
}

/* --- Signals ----------------------------------------------------------------------------------- */

static void reload_that_is_wanted_while_one_runs_runs_once_more(void **state)
{
    (void)state;
    start(2, 10, 100);
    kill(getpid(), SIGHUP);
    sem_wait(&scene.inside);
    for (int i = 0; i < 3; i++) {
        kill(getpid(), SIGHUP);
        expect_last(ask("/"), "200 0"); /* it was noticed */
    }
    assert_int_equal(scene.reloads, 1);
    sem_post(&scene.gate);
    sem_wait(&scene.inside);
    assert_int_equal(scene.reloads, 2);
    sem_post(&scene.gate);
    stop();
    assert_int_equal(scene.reloads, 2);
}

static void program_that_stops_ends_requests_and_closes_what_is_idle(void **state)
{
    (void)state;
    start(2, 10, 100);
    int silent = open_peer();
    int kept = open_peer();
    send_request(kept, "/", FASTCGI_KEEP_CONNECTION);
    expect(kept, "200 0");
    int busy = open_peer();
    send_request(busy, "/wait", FASTCGI_KEEP_CONNECTION);
    sem_wait(&scene.inside);
    uint64_t began = clock_monotonic_nanoseconds();
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGINT);
    expect_closed(kept);
    /* A peer that has sent nothing yet may have a request on its way, so it is kept a while. */
    expect_closed(silent);
    assert_true(clock_monotonic_nanoseconds() - began > SECOND);
    assert_int_equal(scene.answers, 1);
    sem_post(&scene.gate);
    expect_last(busy, "200 0"); /* and is not kept */
    pthread_join(scene.thread, NULL);
    assert_int_equal(scene.result, 0);
    assert_int_equal(scene.stops, 1);
    assert_int_equal(scene.faults, 0);
}

int main(void)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &ours, NULL);
    alarm(120);
    const struct CMUnitTest tests[] = {
        TEST(request_that_has_waited_ten_seconds_is_told_so),
        TEST(request_that_was_admitted_is_served_however_long_it_waits),
        TEST(request_of_a_client_that_has_left_is_dropped_after_a_quarter_of_a_second),
        TEST(request_that_finds_the_queue_full_is_told_so_at_once),
        TEST(small_body_is_taken_in_before_its_request_is_admitted),
        TEST(bodies_that_are_not_admitted_are_bounded_together),
        TEST(request_that_does_not_come_in_time_is_408),
        TEST(body_that_comes_has_more_time_the_more_of_it_has_come),
        TEST(kept_connection_that_is_idle_is_closed),
        TEST(client_that_takes_nothing_of_its_answer_is_closed),
        TEST(burst_of_connections_gives_its_memory_back),
        TEST(connection_beyond_the_maximum_waits_until_one_is_closed),
        TEST(accepting_goes_on_after_errors_of_others),
        TEST(server_that_cannot_listen_ends_at_once),
        TEST(first_bytes_of_an_answer_over_tcp_do_not_wait_for_more),
        TEST(reload_that_is_wanted_while_one_runs_runs_once_more),
        TEST(program_that_stops_ends_requests_and_closes_what_is_idle),
    };
    return cmocka_run_group_tests_name("fastcgi_server", tests, NULL, NULL);
}
