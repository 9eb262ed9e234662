/*
 * services/probe: see the header.
 */
#include "services/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "upstream/upstream.h"

#define GREETING_SIZE 64 /* bytes of an answer that are looked at */

#define ANSWER_ARENA_MAXIMUM ((size_t)64 << 10)

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

static const char *probe_socket(const struct service *service)
{
    uint64_t deadline =
        clock_monotonic_nanoseconds() + (uint64_t)SERVICE_PROBE_MILLISECONDS * UINT64_C(1000000);
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

/* NULL when there is an answer to look at, or its beginning. */
static const char *find_fault(const struct upstream_answer *answer)
{
    if (answer->result == UPSTREAM_COMPLETE || answer->body.length > 0) {
        return NULL;
    }
    switch (answer->result) {
    case UPSTREAM_TIMEOUT:
        return SERVICE_LATE;
    case UPSTREAM_UNREACHABLE:
        return "cannot connect";
    default:
        return "breaks off, or does not speak HTTP";
    }
}

/* Of services that we know nothing of, the status alone decides; see the header for providers. */
static const char *judge_http(const struct service *service, const struct upstream_answer *answer)
{
    static const char error_status[] = "answers with an error status";
    const char *fault = find_fault(answer);
    int code = answer->status_code;
    if (fault != NULL) {
        return fault;
    }
    if (service->kind == SERVICE_HTTP) {
        return code < 400 ? "" : error_status;
    }
    if (code == 401 || code == 403) {
        return "refuses the key, or wants one";
    }
    if (code == 404 || code == 405 || code == 501) {
        return "";
    }
    if (code < 200 || code > 299) {
        return error_status;
    }
    struct slice body = slice_trim(answer->body);
    bool is_json = body.length > 0 && (body.data[0] == '{' || body.data[0] == '[');
    return is_json ? "" : "answers with something else than JSON";
}

static const char *probe_http(const struct service *service, const char *ca_path)
{
    const char *const headers[] = {service->authorization, NULL};
    struct arena arena;
    arena_init(&arena, ANSWER_ARENA_MAXIMUM);
    struct upstream_request request = {
        .method = "GET",
        .url = service->target,
        .headers = headers,
        .connect_timeout_milliseconds = SERVICE_PROBE_MILLISECONDS,
        .total_timeout_milliseconds = SERVICE_PROBE_MILLISECONDS,
        .response_maximum = GREETING_SIZE,
    };
    struct upstream_answer answer = {0};
    enum status status = upstream_fetch(&request, ca_path, &arena, &answer);
    const char *problem = status == STATUS_OK ? judge_http(service, &answer) : "cannot be asked";
    arena_destroy(&arena);
    return problem;
}

const char *service_probe(const struct service *service, const char *ca_path)
{
    switch (service->kind) {
    case SERVICE_HTTP:
    case SERVICE_PROVIDER:
        return probe_http(service, ca_path);
    case SERVICE_TCP:
    case SERVICE_UNIX:
    case SERVICE_REDIS:
    case SERVICE_POSTGRESQL:
        return probe_socket(service);
    default:
        return NULL;
    }
}
