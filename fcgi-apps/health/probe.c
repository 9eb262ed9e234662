/*
 * health/probe: how one service is asked whether it is well. Messages are fixed texts: they are
 * stored and shown to administrators, so nothing of the answer goes into them.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "health.h"
#include "upstream/upstream.h"

#define DISK_FREE_MINIMUM (64u << 20) /* below this SQLite and logs are about to fail */
#define GREETING_SIZE     64

static int64_t milliseconds_left(uint64_t deadline)
{
    uint64_t now = clock_monotonic_nanoseconds();
    return now >= deadline ? 0 : (int64_t)((deadline - now) / 1000000) + 1;
}

static bool wait_for(int descriptor, short events, uint64_t deadline)
{
    struct pollfd poller = {.fd = descriptor, .events = events};
    int ready;
    do {
        ready = poll(&poller, 1, (int)milliseconds_left(deadline));
    } while (ready < 0 && errno == EINTR);
    return ready == 1;
}

/* A connected socket, or -1. */
static int connect_to(const struct sockaddr *address, socklen_t length, uint64_t deadline)
{
    int descriptor = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) {
        return -1;
    }
    int error = 0;
    socklen_t error_size = sizeof error;
    if (connect(descriptor, address, length) == 0 ||
        (errno == EINPROGRESS && wait_for(descriptor, POLLOUT, deadline) &&
         getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &error_size) == 0 && error == 0)) {
        return descriptor;
    }
    close(descriptor);
    return -1;
}

static int connect_unix(const char *path, uint64_t deadline)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path) {
        return -1;
    }
    memcpy(address.sun_path, path, length);
    return connect_to((const struct sockaddr *)&address, sizeof address, deadline);
}

/* scheme://[user[:password]@]host[:port][/…] */
static int connect_url(const char *url, const char *default_port, uint64_t deadline)
{
    char host[256];
    const char *start = strstr(url, "://") + 3;
    size_t length = strcspn(start, "/?#");
    const char *credentials_end = memrchr(start, '@', length);
    if (credentials_end != NULL) {
        length -= (size_t)(credentials_end + 1 - start);
        start = credentials_end + 1;
    }
    if (length == 0 || length >= sizeof host) {
        return -1;
    }
    memcpy(host, start, length);
    host[length] = '\0';
    char *name = host;
    char *port = strrchr(host, ':');
    if (host[0] == '[' && strchr(host, ']') != NULL) {
        char *end = strchr(host, ']');
        port = end[1] == ':' ? end + 1 : NULL;
        *end = '\0';
        name = host + 1;
    }
    if (port != NULL) {
        *port++ = '\0';
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(name, port ? port : default_port, &hints, &found) != 0) {
        return -1;
    }
    int descriptor = -1;
    for (const struct addrinfo *at = found; at && descriptor < 0; at = at->ai_next) {
        descriptor = connect_to(at->ai_addr, at->ai_addrlen, deadline);
    }
    freeaddrinfo(found);
    return descriptor;
}

/* Sends a request and returns the first byte of the answer, or -1. */
static int ask(int descriptor, const void *bytes, size_t length, uint64_t deadline)
{
    char greeting[GREETING_SIZE];
    if (send(descriptor, bytes, length, MSG_NOSIGNAL) != (ssize_t)length ||
        !wait_for(descriptor, POLLIN, deadline) ||
        recv(descriptor, greeting, sizeof greeting, 0) < 1) {
        return -1;
    }
    return (unsigned char)greeting[0];
}

static const char *probe_socket(const struct service *service, uint64_t deadline)
{
    /* PostgreSQL's SSLRequest: length 8, code 80877103; the server answers 'S' or 'N'. */
    static const unsigned char ssl_request[8] = {0, 0, 0, 8, 4, 210, 22, 47};
    int descriptor = -1;
    if (service->kind == SERVICE_UNIX) {
        descriptor = connect_unix(service->target + strlen("unix:"), deadline);
    } else {
        descriptor = connect_url(service->target, service->kind == SERVICE_REDIS ? "6379" : "5432",
                                 deadline);
    }
    if (descriptor < 0) {
        return "cannot connect";
    }
    const char *problem = "";
    if (service->kind == SERVICE_REDIS) {
        /* An error answer ("-NOAUTH") still is Redis answering. */
        int first = ask(descriptor, "PING\r\n", 6, deadline);
        problem = first == '+' || first == '-' ? "" : "no answer to PING";
    } else if (service->kind == SERVICE_POSTGRESQL) {
        int first = ask(descriptor, ssl_request, sizeof ssl_request, deadline);
        problem = first == 'S' || first == 'N' ? "" : "no answer to SSLRequest";
    }
    close(descriptor);
    return problem;
}

static const char *probe_http(struct app *app, const struct service *service)
{
    struct arena arena;
    arena_init(&arena, 4u << 20);
    struct upstream_request request = {
        .method = "GET",
        .url = service->target,
        .connect_timeout_milliseconds = PROBE_TIMEOUT_MILLISECONDS,
        .total_timeout_milliseconds = PROBE_TIMEOUT_MILLISECONDS,
    };
    struct upstream_answer answer = {0};
    enum status status = upstream_fetch(&request, app->config->upstream_ca_path, &arena, &answer);
    const char *problem = "";
    if (status != STATUS_OK || answer.status_code == 0) {
        problem = answer.result == UPSTREAM_TIMEOUT ? "no answer in time" : "cannot connect";
    } else if (answer.status_code >= 400) {
        problem = "answers with an error status";
    }
    arena_destroy(&arena);
    return problem;
}

static const char *probe_disk(const struct service *service)
{
    struct statvfs disk;
    if (statvfs(service->target, &disk) != 0) {
        return "state directory is not there";
    }
    uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    return free_bytes < DISK_FREE_MINIMUM ? "disk is almost full" : "";
}

void probe_run(struct app *app, const struct service *service, struct probe_result *result)
{
    uint64_t start = clock_monotonic_nanoseconds();
    uint64_t deadline = start + (uint64_t)PROBE_TIMEOUT_MILLISECONDS * 1000000;
    const char *problem = "";
    switch (service->kind) {
    case SERVICE_DATABASE:
        problem = storage_ping(app->storage) == STATUS_OK ? "" : "database does not answer";
        break;
    case SERVICE_DISK:
        problem = probe_disk(service);
        break;
    case SERVICE_HTTP:
        problem = probe_http(app, service);
        break;
    case SERVICE_NOT_CONFIGURED:
        break;
    default:
        problem = probe_socket(service, deadline);
    }
    result->latency_milliseconds = (double)(clock_monotonic_nanoseconds() - start) / 1e6;
    snprintf(result->message, sizeof result->message, "%s", problem);
    result->is_healthy = problem[0] == '\0';
}
