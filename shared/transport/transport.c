/*
 * transport: finds out what has started the program, and runs the transport for it.
 */
#include "transport/transport.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "log/log.h"
#include "transport/cgi.h"
#include "transport/fastcgi.h"
#include "transport/pump_private.h"

/* Where systemd puts the first socket (sd_listen_fds(3)). */
#define SYSTEMD_FIRST_DESCRIPTOR 3

#define LISTEN_BACKLOG 4096

/* Descriptors that are not for streams: the database, the log, other requests. */
#define DESCRIPTORS_RESERVED 256

/* A connection to a database has up to three files open; a body may have one, and so may what it is
 * read from. Beside them: the log, the pump, what is open for a moment. */
#define DESCRIPTORS_PER_WORKER 3
#define DESCRIPTORS_OF_ALL     12
#define DESCRIPTORS_IN_USE     16 /* where /proc does not tell */

extern char **environ;

struct transport {
    struct transport_options options; /* defaults filled in */
    struct workers *workers;          /* NULL: CGI */
    pthread_mutex_t lock;             /* of the two below */
    struct pump *pump;
    bool is_stopping;
};

/* A socket we made ourselves. */
struct own_socket {
    const char *path;
    dev_t device;
    ino_t inode;
};

/* --- The pump -------------------------------------------------------------------------------- */

/* One descriptor for the client and one for the provider, and some for everything else. */
static int stream_maximum(const struct transport_options *options)
{
    struct rlimit limit;
    int most = options->stream_maximum;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return most;
    }
    rlim_t reserved =
        limit.rlim_cur / 4 < DESCRIPTORS_RESERVED ? limit.rlim_cur / 4 : DESCRIPTORS_RESERVED;
    rlim_t streams = (limit.rlim_cur - reserved) / 2;
    return streams < (rlim_t)most ? (int)streams : most;
}

static enum status make_pump(struct transport *transport, struct pump **out)
{
    const struct transport_options *options = &transport->options;
    const struct pump_options pump = {.workers = transport->workers,
                                      .program = options->program,
                                      .stream_maximum = stream_maximum(options),
                                      .turned = options->turned,
                                      .context = options->handlers.context};
    return pump_create(out, &pump);
}

struct pump *transport_pump(struct transport *transport)
{
    if (transport == NULL) {
        return pump_of_loopback;
    }
    pthread_mutex_lock(&transport->lock);
    struct pump *pump = transport->pump;
    if (pump == NULL && !transport->is_stopping && make_pump(transport, &pump) == STATUS_OK) {
        transport->pump = pump;
    }
    pthread_mutex_unlock(&transport->lock);
    return pump;
}

static void begin_stopping(void *context)
{
    struct transport *transport = context;
    pthread_mutex_lock(&transport->lock);
    transport->is_stopping = true;
    struct pump *pump = transport->pump;
    pthread_mutex_unlock(&transport->lock);
    if (pump != NULL) {
        pump_shut_down(pump);
    }
}

static void end_threads(void *context)
{
    struct transport *transport = context;
    begin_stopping(transport);
    /* The workers first: the last thing one of them has done may be a message to the pump. */
    workers_stop(transport->workers);
    pump_release(transport->pump);
}

/* --- The socket -------------------------------------------------------------------------------- */

static bool is_listening(int descriptor)
{
    int answer = 0;
    socklen_t size = sizeof(answer);
    return getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &answer, &size) == 0 && answer == 1;
}

static bool systemd_gave_a_socket(void)
{
    const char *process = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    int64_t number;
    return process != NULL && count != NULL &&
           text_parse_integer(slice_of(process), &number) == STATUS_OK && number == getpid() &&
           text_parse_integer(slice_of(count), &number) == STATUS_OK && number == 1 &&
           is_listening(SYSTEMD_FIRST_DESCRIPTOR);
}

/* A socket file that nobody listens on any more is in the way; one that somebody does is not
 * ours to take. */
static enum status remove_stale(const struct sockaddr_un *address)
{
    struct stat found;
    if (lstat(address->sun_path, &found) != 0) {
        return errno == ENOENT ? STATUS_OK : STATUS_DENIED;
    }
    if (!S_ISSOCK(found.st_mode)) {
        return STATUS_CONFLICT;
    }
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        return STATUS_INTERNAL;
    }
    bool is_stale = connect(probe, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
                    errno == ECONNREFUSED;
    close(probe);
    if (!is_stale) {
        return STATUS_CONFLICT;
    }
    return unlink(address->sun_path) == 0 || errno == ENOENT ? STATUS_OK : STATUS_DENIED;
}

/* Returns the descriptor, or -1 with errno set. */
static int listen_on(const char *path, struct own_socket *own)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, length);
    if (remove_stale(&address) != STATUS_OK) {
        errno = EADDRINUSE;
        return -1;
    }
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        return -1;
    }
    /* The mode counts from the first moment on: no chmod afterwards. */
    mode_t mask = umask(0117);
    int error = bind(descriptor, (const struct sockaddr *)&address, sizeof(address));
    umask(mask);
    struct stat made;
    if (error != 0 || lstat(path, &made) != 0 || listen(descriptor, LISTEN_BACKLOG) != 0) {
        int reason = errno;
        close(descriptor);
        errno = reason;
        return -1;
    }
    *own = (struct own_socket){.path = path, .device = made.st_dev, .inode = made.st_ino};
    return descriptor;
}

static void remove_own(const struct own_socket *own)
{
    struct stat found;
    if (own->path != NULL && lstat(own->path, &found) == 0 && found.st_dev == own->device &&
        found.st_ino == own->inode) {
        unlink(own->path);
    }
}

#define LARGE_BYTES (256 << 10)

/* --- Running ------------------------------------------------------------------------------------- */

static enum status call_started(struct transport *transport)
{
    const struct transport_options *options = &transport->options;
    return options->started == NULL ? STATUS_OK
                                    : options->started(transport, options->handlers.context);
}

static void call_stopped(struct transport *transport)
{
    if (transport->options.stopped != NULL) {
        transport->options.stopped(transport->options.handlers.context);
    }
}

static int count_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL) {
        return DESCRIPTORS_IN_USE;
    }
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

/* As many descriptors as we may have, and no more connections than leave the rest of the program its
 * own: a database, a provider or a log that cannot be opened would turn every request into 503. */
static void share_descriptors(struct transport_options *options)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            limit.rlim_cur = before;
        }
    }
    int64_t all = limit.rlim_cur > INT_MAX ? INT_MAX : (int64_t)limit.rlim_cur;
    int64_t kept = (int64_t)options->worker_count * DESCRIPTORS_PER_WORKER + DESCRIPTORS_OF_ALL;
    int64_t free = all - count_descriptors();
    int64_t connections = free - (kept < free * 3 / 4 ? kept : free * 3 / 4);
    if (connections < options->connection_maximum) {
        options->connection_maximum = connections > 1 ? (int)connections : 1;
        log_write(LOG_INFO, "connections_limited",
                  LOG_INTEGER("connections", options->connection_maximum),
                  LOG_INTEGER("descriptors", all));
    }
}

static int run_fastcgi(struct transport *transport, int listener)
{
    const struct transport_options *options = &transport->options;
    share_descriptors(&transport->options);
    /* Fewer arenas: threads here allocate little, and each arena keeps what it once had. */
    mallopt(M_ARENA_MAX, 2);
    /* What is large is mapped and given back when it is freed. Without these two the first large
     * answer would raise both limits to its size, and the program would keep as much for ever. */
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BYTES);
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    int flags = fcntl(listener, F_GETFL);
    if (flags < 0 || fcntl(listener, F_SETFL, flags | O_NONBLOCK) != 0) {
        return EX_OSERR;
    }
    fcntl(listener, F_SETFD, FD_CLOEXEC);
    if (workers_start(&transport->workers, options->program, options->worker_count,
                      options->queue_maximum) != STATUS_OK) {
        fprintf(stderr, "%s: cannot start %d worker threads\n", options->program,
                options->worker_count);
        return EX_OSERR;
    }
    int result = 1;
    if (call_started(transport) == STATUS_OK) {
        result = fastcgi_serve(options, transport->workers, listener, begin_stopping, end_threads,
                               transport);
    } else {
        end_threads(transport);
    }
    call_stopped(transport);
    return result;
}

static int run_cgi(struct transport *transport)
{
    int result = 1;
    if (call_started(transport) == STATUS_OK) {
        result = cgi_serve(&transport->options, (const char *const *)environ, STDIN_FILENO,
                           STDOUT_FILENO, &transport->pump);
    }
    pump_release(transport->pump);
    call_stopped(transport);
    return result;
}

static void fill_in(struct transport_options *options)
{
    if (options->connection_maximum == 0) {
        options->connection_maximum = 16384;
    }
    if (options->request_timeout_seconds == 0) {
        options->request_timeout_seconds = 60;
    }
    if (options->write_timeout_seconds == 0) {
        options->write_timeout_seconds = 30;
    }
    if (options->idle_timeout_seconds == 0) {
        options->idle_timeout_seconds = 75;
    }
    if (options->stream_maximum == 0) {
        options->stream_maximum = PUMP_STREAMS_MAXIMUM;
    }
    if (options->body_room == 0) {
        options->body_room = UINT64_C(1) << 30;
    }
}

/* --- What has started the program ------------------------------------------------------------- */

enum starter { STARTER_SYSTEMD, STARTER_SOCKET, STARTER_CGI, STARTER_PERSON };

/* Sockets first, then CGI: a CGI program must not look at its arguments, which a client may choose
 * (RFC 3875 section 4.4). */
static enum starter find_starter(void)
{
    if (systemd_gave_a_socket()) {
        return STARTER_SYSTEMD;
    }
    if (is_listening(STDIN_FILENO)) {
        return STARTER_SOCKET;
    }
    return getenv("GATEWAY_INTERFACE") != NULL ? STARTER_CGI : STARTER_PERSON;
}

bool transport_is_cgi(void)
{
    return find_starter() == STARTER_CGI;
}

static void print_usage(const char *program, FILE *out)
{
    fprintf(out,
            "usage: %s.fcgi --listen PATH\n"
            "       %s.fcgi --help | --version\n"
            "Otherwise it is started by a web server: as a FastCGI program with a listening "
            "socket\n"
            "as standard input (or LISTEN_FDS=1), or as a CGI program. See quintet-%s(8).\n",
            program, program, program);
}

int transport_check_start(const char *program, int argc, char **argv)
{
    if (find_starter() != STARTER_PERSON || (argc == 3 && strcmp(argv[1], "--listen") == 0)) {
        return -1;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_usage(program, stdout);
        return EX_OK;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("quintet-%s %s\n", program, PACKAGE_VERSION);
        return EX_OK;
    }
    print_usage(program, stderr);
    return EX_USAGE;
}

int transport_run(const struct transport_options *options, int argc, char **argv)
{
    struct transport transport = {.options = *options};
    struct own_socket own = {.path = NULL};
    int listener = -1;
    int result = transport_check_start(options->program, argc, argv);
    if (result >= 0) {
        return result;
    }
    fill_in(&transport.options);
    signal(SIGPIPE, SIG_IGN);
    switch (find_starter()) {
    case STARTER_SYSTEMD:
        listener = SYSTEMD_FIRST_DESCRIPTOR;
        break;
    case STARTER_SOCKET:
        listener = STDIN_FILENO;
        break;
    case STARTER_CGI:
        break;
    case STARTER_PERSON:
        listener = listen_on(argv[2], &own);
        if (listener < 0) {
            fprintf(stderr, "%s: cannot listen on %s: %s\n", options->program, argv[2],
                    strerror(errno));
            return EX_CANTCREAT;
        }
        break;
    }
    pthread_mutex_init(&transport.lock, NULL);
    result = listener < 0 ? run_cgi(&transport) : run_fastcgi(&transport, listener);
    remove_own(&own);
    pthread_mutex_destroy(&transport.lock);
    return result;
}
