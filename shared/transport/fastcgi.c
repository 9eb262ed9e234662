/*
 * fastcgi: the event thread: accepting, signals, the clock, stopping.
 */
#include "transport/fastcgi.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"

#define SECOND UINT64_C(1000000000)

#define EVENTS_IN_A_TURN  128
#define ACCEPTS_IN_A_TURN 256

/* Out of descriptors or memory: trying again at once would only burn the processor. */
#define ACCEPT_PAUSE SECOND

#define STOP_LIMIT       (30 * SECOND)
#define TICK             SECOND
#define TICK_WHEN_ENDING (SECOND / 20)

void fastcgi_server_wake(struct fastcgi_server *server)
{
    uint64_t one = 1;
    ssize_t written = write(server->wake, &one, sizeof(one));
    (void)written; /* EAGAIN: it is awake already */
}

void fastcgi_wake_workers(struct fastcgi_server *server)
{
    if (server->queued > 0) {
        server->queued = 0;
        workers_wake(server->workers);
    }
}

static bool watch(struct fastcgi_server *server, int *descriptor, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = descriptor};
    return *descriptor >= 0 && epoll_ctl(server->epoll, EPOLL_CTL_ADD, *descriptor, &event) == 0;
}

/* --- Accepting ------------------------------------------------------------------------------- */

static void stop_listening(struct fastcgi_server *server)
{
    if (server->is_listening) {
        epoll_ctl(server->epoll, EPOLL_CTL_DEL, server->listener, NULL);
        server->is_listening = false;
    }
}

/* Starts or stops accepting as things are. */
static void decide_listening(struct fastcgi_server *server, uint64_t now)
{
    if (server->accept_again != 0 && now >= server->accept_again) {
        server->accept_again = 0;
    }
    bool is_full = atomic_load(&server->open_count) >= server->options->connection_maximum;
    if (is_full || server->accept_again != 0 || atomic_load(&server->is_stopping)) {
        stop_listening(server);
        /* First say that closing is of interest, then look again: what closes in between is seen
         * here, what closes later wakes us. */
        atomic_store(&server->wants_to_know, is_full);
        is_full =
            is_full && atomic_load(&server->open_count) >= server->options->connection_maximum;
        if (is_full || server->accept_again != 0 || atomic_load(&server->is_stopping)) {
            return;
        }
    }
    atomic_store(&server->wants_to_know, false);
    if (!server->is_listening) {
        /* Exclusive: one of several processes on this socket wakes up for a connection. */
        server->is_listening = watch(server, &server->listener, EPOLLIN | EPOLLEXCLUSIVE);
    }
}

/* Accepts what waits; taking one per turn would let the backlog overflow. */
static void accept_connections(struct fastcgi_server *server)
{
    for (int i = 0; i < ACCEPTS_IN_A_TURN; i++) {
        if (atomic_load(&server->open_count) >= server->options->connection_maximum) {
            decide_listening(server, clock_monotonic_nanoseconds());
            return;
        }
        int descriptor = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor >= 0) {
            fastcgi_connection_open(server, descriptor);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_write(LOG_WARNING, "accept_paused", LOG_INTEGER("errno", errno));
            uint64_t now = clock_monotonic_nanoseconds();
            server->accept_again = now + ACCEPT_PAUSE;
            decide_listening(server, now);
            return;
        }
        if (errno == EAGAIN) {
            return;
        }
    }
}

/* --- Signals --------------------------------------------------------------------------------- */

static void begin_stopping(struct fastcgi_server *server)
{
    if (atomic_load(&server->is_stopping)) {
        return;
    }
    server->stopping_since = clock_monotonic_nanoseconds();
    server->next_tick = server->stopping_since;
    atomic_store(&server->is_stopping, true);
    atomic_store(&server->wants_to_know, true);
    stop_listening(server);
    server->stopping(server->context);
}

static void run_reload(void *context)
{
    struct fastcgi_server *server = context;
    unsigned seen;
    do {
        /* Read first: a signal that comes from now on means another run. */
        seen = atomic_load(&server->reloads_wanted);
        server->options->reload(server->options->handlers.context);
    } while (!atomic_compare_exchange_strong(&server->reloads_wanted, &seen, 0));
}

static void begin_reload(struct fastcgi_server *server)
{
    if (server->options->reload != NULL && atomic_fetch_add(&server->reloads_wanted, 1) == 0) {
        workers_add(server->workers, &server->reload);
    }
}

static void read_signals(struct fastcgi_server *server)
{
    struct signalfd_siginfo info;
    while (read(server->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            begin_reload(server);
        } else {
            begin_stopping(server);
        }
    }
}

static int open_signals(void)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    /* Whoever started us may have it ignored, and an ignored signal reaches no descriptor. */
    signal(SIGTERM, SIG_DFL);
    return signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* --- The clock ----------------------------------------------------------------------------------- */

static void run_background(void *context)
{
    struct fastcgi_server *server = context;
    server->options->background(server->options->handlers.context);
    atomic_store(&server->background_runs, false);
}

static void begin_background(struct fastcgi_server *server)
{
    if (server->options->background != NULL && !atomic_exchange(&server->background_runs, true)) {
        workers_add(server->workers, &server->background);
    }
}

static void tick(struct fastcgi_server *server, uint64_t now)
{
    bool is_stopping = atomic_load(&server->is_stopping);
    server->next_tick = now + (is_stopping ? TICK_WHEN_ENDING : TICK);
    struct fastcgi_connection *connection = server->all;
    while (connection != NULL) {
        struct fastcgi_connection *next = connection->next_all;
        fastcgi_connection_check(connection, now);
        connection = next;
    }
    if (!is_stopping) {
        begin_background(server);
    } else if (now > server->stopping_since + STOP_LIMIT) {
        /* Handlers that still run cannot be stopped, and what they use must not be freed. */
        log_write(LOG_WARNING, "stop_limit_reached",
                  LOG_INTEGER("connections", atomic_load(&server->open_count)));
        _exit(0);
    }
}

/* Milliseconds until the clock has something to do; -1 = never. */
static int wait_time(const struct fastcgi_server *server, uint64_t now)
{
    if (atomic_load(&server->open_count) == 0 && server->options->background == NULL &&
        server->accept_again == 0 && !atomic_load(&server->is_stopping)) {
        return -1;
    }
    return server->next_tick <= now ? 0 : (int)((server->next_tick - now) / 1000000 + 1);
}

static bool is_finished(struct fastcgi_server *server)
{
    return atomic_load(&server->is_stopping) && atomic_load(&server->open_count) == 0 &&
           workers_are_idle(server->workers);
}

static void run_turn(struct fastcgi_server *server)
{
    struct epoll_event events[EVENTS_IN_A_TURN];
    int timeout = wait_time(server, clock_monotonic_nanoseconds());
    int count = epoll_wait(server->epoll, events, EVENTS_IN_A_TURN, timeout);
    uint64_t began = clock_monotonic_nanoseconds();
    for (int i = 0; i < count; i++) {
        void *source = events[i].data.ptr;
        if (source == &server->listener) {
            accept_connections(server);
        } else if (source == &server->wake) {
            uint64_t ignored;
            ssize_t length = read(server->wake, &ignored, sizeof(ignored));
            (void)length;
        } else if (source == &server->signals) {
            read_signals(server);
        } else {
            fastcgi_connection_ready(source);
        }
    }
    fastcgi_connections_collect(server);
    uint64_t now = clock_monotonic_nanoseconds();
    if (now >= server->next_tick) {
        tick(server, now);
    }
    fastcgi_wake_workers(server);
    if (!server->is_listening) {
        decide_listening(server, now);
    }
    loop_lag_note(&server->lag, began);
}

static void release(struct fastcgi_server *server)
{
    fastcgi_connections_collect(server);
    fastcgi_connections_release(server);
    body_room_release(&server->room);
    if (server->epoll >= 0) {
        close(server->epoll);
    }
    if (server->wake >= 0) {
        close(server->wake);
    }
    if (server->signals >= 0) {
        close(server->signals);
    }
    memory_release(server);
}

int fastcgi_serve(const struct transport_options *options, struct workers *workers, int listener,
                  void (*stopping)(void *context), void (*ended)(void *context), void *context)
{
    struct fastcgi_server *server = memory_allocate(sizeof(*server));
    if (server == NULL) {
        ended(context);
        return 1;
    }
    server->options = options;
    server->workers = workers;
    server->listener = listener;
    server->stopping = stopping;
    server->context = context;
    server->lag = (struct loop_lag){.loop = TRANSPORT_EVENT_LOOP,
                                    .turned = options->turned,
                                    .context = options->handlers.context};
    server->background = (struct worker_task){.run = run_background, .context = server};
    server->reload = (struct worker_task){.run = run_reload, .context = server};
    body_room_init(&server->room, options->body_directory, options->body_room);
    struct sockaddr_storage address = {0};
    socklen_t address_size = sizeof(address);
    server->is_tcp = getsockname(listener, (struct sockaddr *)&address, &address_size) == 0 &&
                     (address.ss_family == AF_INET || address.ss_family == AF_INET6);
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    server->signals = open_signals();
    bool is_ready = server->epoll >= 0 && watch(server, &server->wake, EPOLLIN) &&
                    watch(server, &server->signals, EPOLLIN);
    decide_listening(server, 0);
    is_ready = is_ready && server->is_listening;
    while (is_ready && !is_finished(server)) {
        run_turn(server);
    }
    ended(context);
    release(server);
    return is_ready ? 0 : 1;
}
