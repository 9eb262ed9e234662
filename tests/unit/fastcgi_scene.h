/*
 * A FastCGI server within a test, its handlers and its peers.
 *
 * Time is not waited for: an errand looks at a connection, or moves a clock of it back, on the event
 * thread.
 */
#ifndef TESTS_UNIT_FASTCGI_SCENE_H
#define TESTS_UNIT_FASTCGI_SCENE_H

#include "fastcgi_peer.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "transport/fastcgi.h"

#define SECOND UINT64_C(1000000000)
#define LIMIT  ((size_t)4 << 20) /* of bodies */

enum { REQUEST_TIMEOUT = 50, WRITE_TIMEOUT = 20, IDLE_TIMEOUT = 70 };

struct scene {
    struct sockaddr_un address;
    int listener;
    struct workers *workers;
    struct transport_options options;
    pthread_t thread;
    int result;
    /* Set by the handlers. */
    _Atomic(struct fastcgi_connection *) planned; /* the last one */
    atomic_int plans;
    atomic_int admissions;
    atomic_int answers;
    atomic_int drops;
    atomic_int turns;
    atomic_int reloads;
    atomic_int stops;
    atomic_int faults; /* checks after the server's end that failed */
    sem_t inside;      /* a handler waits for the gate */
    sem_t gate;
    void (*errand)(struct fastcgi_connection *connection);
    struct fastcgi_connection *subject;
};

static struct scene scene;

/* --- Handlers -------------------------------------------------------------------------------- */

static inline bool is_path(const struct exchange *exchange, const char *path)
{
    return slice_equals(exchange_parameter(exchange, "PATH"), path);
}

static inline void plan(struct exchange *exchange, void *context)
{
    (void)context;
    exchange->body_maximum = LIMIT;
    if (is_path(exchange, "/errand")) {
        scene.errand(scene.subject);
    } else {
        atomic_store(&scene.planned, (struct fastcgi_connection *)exchange);
    }
    atomic_fetch_add(&scene.plans, 1);
}

static inline bool admit(struct exchange *exchange, void *context)
{
    (void)exchange;
    (void)context;
    atomic_fetch_add(&scene.admissions, 1);
    return true;
}

static inline void handle(struct exchange *exchange, void *context)
{
    (void)context;
    if (is_path(exchange, "/wait")) {
        sem_post(&scene.inside);
        while (sem_wait(&scene.gate) != 0 && errno == EINTR) {
        }
    }
    size_t size = is_path(exchange, "/large") ? (size_t)8 << 20 : 0;
    atomic_fetch_add(&scene.answers, 1);
    buffer_append_format(&exchange->output, "200 %zu", exchange->body.length);
    if (size > 0) {
        char *bytes = buffer_reserve(&exchange->output, size);
        memset(bytes, 'x', size);
        buffer_commit(&exchange->output, size);
    }
    exchange_complete(exchange);
}

static inline void refuse(struct exchange *exchange, int status, void *context)
{
    (void)context;
    buffer_append_format(&exchange->output, "%d", status);
    exchange_complete(exchange);
}

static inline void dropped(struct exchange *exchange, void *context)
{
    (void)context;
    if (!is_path(exchange, "/errand")) {
        atomic_fetch_add(&scene.drops, 1);
    }
}

static inline void turned(enum transport_loop loop, uint64_t nanoseconds, void *context)
{
    (void)nanoseconds;
    if (loop == TRANSPORT_EVENT_LOOP && context == &scene) {
        atomic_fetch_add(&scene.turns, 1);
    }
}

static inline void reload(void *context)
{
    (void)context;
    atomic_fetch_add(&scene.reloads, 1);
    sem_post(&scene.inside);
    while (sem_wait(&scene.gate) != 0 && errno == EINTR) {
    }
}

/* --- The server ------------------------------------------------------------------------------ */

static inline void stopping(void *context)
{
    (void)context;
    atomic_fetch_add(&scene.stops, 1);
}

/* Everything has been given back, and all connections wait in the free list. */
static inline void judge(struct fastcgi_server *server)
{
    int all = 0;
    int free = 0;
    int with_memory = 0;
    fastcgi_connections_collect(server);
    for (struct fastcgi_connection *each = server->all; each != NULL; each = each->next_all) {
        all++;
    }
    for (struct fastcgi_connection *each = server->free; each != NULL && free <= all;
         each = each->next) {
        free++;
        with_memory += each->request.parameters.capacity > 0;
    }
    bool is_clean = free == all && server->free_count == free && with_memory <= 256 &&
                    (all <= 256 || with_memory == 256) && atomic_load(&server->open_count) == 0 &&
                    atomic_load(&server->small_bytes) == 0 && server->room.in_memory == 0 &&
                    server->room.on_disk == 0 && server->room.claims == NULL;
    atomic_fetch_add(&scene.faults, !is_clean);
}

static inline void ended(void *context)
{
    struct fastcgi_connection *planned = atomic_load(&scene.planned);
    (void)context;
    if (planned != NULL) {
        judge(planned->server);
    }
    workers_stop(scene.workers);
}

static inline void *serve(void *context)
{
    (void)context;
    scene.result =
        fastcgi_serve(&scene.options, scene.workers, scene.listener, stopping, ended, &scene);
    return NULL;
}

static inline void start(int worker_count, int queue_maximum, int connection_maximum)
{
    scene.options = (struct transport_options){
        .program = "test",
        .connection_maximum = connection_maximum,
        .request_timeout_seconds = REQUEST_TIMEOUT,
        .write_timeout_seconds = WRITE_TIMEOUT,
        .idle_timeout_seconds = IDLE_TIMEOUT,
        .body_directory = "/tmp",
        .body_room = 4 * LIMIT,
        .handlers = {plan, admit, handle, refuse, dropped, &scene},
        .turned = turned,
        .reload = reload,
    };
    assert_int_equal(workers_start(&scene.workers, "test", worker_count, queue_maximum), STATUS_OK);
    assert_int_equal(pthread_create(&scene.thread, NULL, serve, NULL), 0);
}

static inline int open_scene(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.address.sun_family = AF_UNIX;
    snprintf(scene.address.sun_path, sizeof(scene.address.sun_path), "/tmp/quintet-test-%d",
             (int)getpid());
    unlink(scene.address.sun_path);
    sem_init(&scene.inside, 0, 0);
    sem_init(&scene.gate, 0, 0);
    scene.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return bind(scene.listener, (struct sockaddr *)&scene.address, sizeof(scene.address)) != 0 ||
           listen(scene.listener, 1000) != 0;
}

static inline int close_scene(void **state)
{
    (void)state;
    close(scene.listener);
    unlink(scene.address.sun_path);
    return 0;
}

static inline void stop(void)
{
    kill(getpid(), SIGTERM);
    pthread_join(scene.thread, NULL);
    assert_int_equal(scene.result, 0);
    assert_int_equal(scene.stops, 1);
    assert_int_equal(scene.faults, 0);
}

/* --- Peers --------------------------------------------------------------------------------------- */

static inline void await(atomic_int *value, int wanted)
{
    for (int i = 0; i < 10000 && atomic_load(value) < wanted; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(atomic_load(value), wanted);
}

static inline int open_peer(void)
{
    int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval limit = {.tv_sec = 10};
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&scene.address, sizeof(scene.address)), 0);
    return peer;
}

static inline void send_all(int peer, struct buffer *bytes)
{
    assert_int_equal(send(peer, bytes->data, bytes->length, MSG_NOSIGNAL), bytes->length);
    buffer_release(bytes);
}

/* The parameters of a request with so large a body (< 0: unknown). */
static inline void send_head(int peer, const char *path, int flags, long length)
{
    struct buffer pairs;
    struct buffer out;
    char number[24];
    buffer_init(&pairs, 4096);
    buffer_init(&out, 4096);
    snprintf(number, sizeof(number), "%ld", length);
    put_pair(&pairs, "PATH", path);
    put_pair(&pairs, "CONTENT_LENGTH", length < 0 ? "" : number);
    put_begin(&out, 1, FASTCGI_RESPONDER, flags);
    put(&out, FASTCGI_PARAMS, 1, pairs.data, pairs.length, 0);
    put(&out, FASTCGI_PARAMS, 1, NULL, 0, 0);
    buffer_release(&pairs);
    send_all(peer, &out);
}

/* So many bytes of body; with `ends`, its end. */
static inline void send_body(int peer, size_t length, bool ends)
{
    static char zeros[32 << 10];
    while (length > 0 || ends) {
        struct buffer out;
        size_t part = length < sizeof(zeros) ? length : sizeof(zeros);
        buffer_init(&out, 1 << 20);
        put(&out, FASTCGI_STDIN, 1, zeros, part, 0);
        send_all(peer, &out);
        length -= part;
        ends = ends && part > 0;
    }
}

static inline void send_request(int peer, const char *path, int flags)
{
    send_head(peer, path, flags, 0);
    send_body(peer, 0, true);
}

static inline int ask(const char *path)
{
    int peer = open_peer();
    send_request(peer, path, 0);
    return peer;
}

static inline void receive(int peer, void *out, size_t length)
{
    assert_int_equal(recv(peer, out, length, MSG_WAITALL), length);
}

/* The text of one answer, to its end. */
static inline void expect(int peer, const char *text)
{
    char answer[256] = "";
    size_t length = 0;
    struct fastcgi_header header = {0};
    while (header.type != FASTCGI_END_REQUEST) {
        unsigned char bytes[FASTCGI_HEADER_SIZE];
        char content[256];
        receive(peer, bytes, sizeof(bytes));
        assert_true(fastcgi_decode_header(bytes, &header));
        assert_true(header.length < sizeof(content));
        receive(peer, content, header.length + (size_t)header.padding);
        if (header.type == FASTCGI_STDOUT) {
            assert_true(length + header.length < sizeof(answer));
            memcpy(answer + length, content, header.length);
            length += header.length;
        }
    }
    assert_string_equal(answer, text);
}

static inline void expect_closed(int peer)
{
    char byte;
    assert_int_equal(recv(peer, &byte, 1, 0), 0);
    close(peer);
}

static inline void expect_last(int peer, const char *text)
{
    expect(peer, text);
    expect_closed(peer);
}

/* Runs `work` for the connection on the event thread. */
static inline void on_event_thread(void (*work)(struct fastcgi_connection *connection),
                                   struct fastcgi_connection *connection)
{
    int before = atomic_load(&scene.plans);
    int peer = open_peer();
    scene.errand = work;
    scene.subject = connection;
    send_head(peer, "/errand", 0, -1);
    await(&scene.plans, before + 1);
    close(peer);
}

/* Waits until one more request than `before` was planned; its connection. */
static inline struct fastcgi_connection *await_plan(int before)
{
    await(&scene.plans, before + 1);
    return atomic_load(&scene.planned);
}

/* A copy, made on the event thread; a connection that another thread holds shows only its state. */
static struct {
    enum fastcgi_state state;
    size_t body;       /* bytes that were taken in; of armed states, like the next two */
    uint64_t deadline; /* monotonic nanoseconds */
    uint64_t linger_end;
    uint64_t at; /* when this was */
} seen;

static inline void look(struct fastcgi_connection *connection)
{
    memset(&seen, 0, sizeof(seen));
    pthread_mutex_lock(&connection->lock);
    seen.at = clock_monotonic_nanoseconds();
    seen.state = connection->state;
    if (seen.state >= FASTCGI_READING) {
        seen.body = connection->request.body.length;
        seen.deadline = connection->deadline;
        seen.linger_end = connection->linger_end;
    }
    pthread_mutex_unlock(&connection->lock);
}

/* Waits until the connection is in that state, and so much of its body has come. */
static inline void await_state(struct fastcgi_connection *connection, enum fastcgi_state state,
                               size_t body)
{
    for (int i = 0; i < 2000; i++) {
        on_event_thread(look, connection);
        if (seen.state == state && seen.body == body) {
            return;
        }
    }
    fail_msg("state %d with %zu bytes", seen.state, seen.body);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)

#endif
