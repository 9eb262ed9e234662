/*
 * A small HTTP/1.1 server for the tests of upstream/: each path misbehaves in its own way. One
 * thread for each connection; what it has seen is counted.
 */
#ifndef UPSTREAM_SERVER_H
#define UPSTREAM_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct upstream_server {
    int listener;
    int port;
    pthread_t thread;
    atomic_int connections;
    atomic_int open;
    atomic_int hang_ups; /* requests read and left without an answer */
    atomic_bool ends;
};

struct upstream_peer {
    struct upstream_server *server;
    int descriptor;
    char request[65536];
};

static inline void server_say(int descriptor, const char *text)
{
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t sent = send(descriptor, text, length, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        text += sent;
        length -= (size_t)sent;
    }
}

static inline void server_pause(int milliseconds)
{
    struct timespec pause = {.tv_sec = milliseconds / 1000,
                             .tv_nsec = milliseconds % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

/* How much later than its deadline a call may end on a busy machine; this server gives up after
 * SERVER_PATIENCE, and that must not be taken for it. */
#define LATE_MILLISECONDS 2000
#define SERVER_PATIENCE   5 /* seconds */

/* Until the client closes; at most a few seconds. */
static inline void server_wait_for_close(int descriptor)
{
    char byte;
    while (recv(descriptor, &byte, 1, 0) > 0) {
    }
}

/* Reads a request with its body into peer->request; false at the end of the connection. */
static inline bool server_read(struct upstream_peer *peer)
{
    size_t length = 0;
    size_t wanted = 0;
    for (;;) {
        peer->request[length] = '\0';
        char *end = strstr(peer->request, "\r\n\r\n");
        if (end != NULL && wanted == 0) {
            char *size = strcasestr(peer->request, "content-length:");
            wanted = (size_t)(end + 4 - peer->request) +
                     (size != NULL && size < end ? strtoul(size + 15, NULL, 10) : 0);
        }
        if (wanted > 0 && length >= wanted) {
            return true;
        }
        ssize_t got =
            recv(peer->descriptor, peer->request + length, sizeof(peer->request) - 1 - length, 0);
        if (got <= 0) {
            return false;
        }
        length += (size_t)got;
    }
}

static inline void server_answer_echo(struct upstream_peer *peer)
{
    char head[100];
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
             strlen(peer->request));
    server_say(peer->descriptor, head);
    server_say(peer->descriptor, peer->request);
}

static inline void server_answer_big(int descriptor)
{
    char block[10001];
    memset(block, 'x', 10000);
    block[10000] = '\0';
    server_say(descriptor, "HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n");
    for (int i = 0; i < 200; i++) {
        server_say(descriptor, block);
    }
}

static inline void server_answer_many_headers(int descriptor)
{
    char line[200];
    server_say(descriptor, "HTTP/1.1 200 OK\r\nX-First: one\r\n");
    for (int i = 0; i < 300; i++) {
        snprintf(line, sizeof(line), "X-Filler-%d: %0100d\r\n", i, i);
        server_say(descriptor, line);
    }
    server_say(descriptor, "X-Last: two\r\nContent-Length: 2\r\n\r\nok");
}

/* A completion in OpenAI's format, as a stream or whole. */
static inline void server_answer_completion(const struct upstream_peer *peer)
{
    static const char whole[] =
        "{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":"
        "\"words\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
        "\"assistant\",\"content\":\"one two\"},\"finish_reason\":"
        "\"stop\"}]}";
#define CHUNK(delta, reason)                                                                       \
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"words\","  \
    "\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":" reason "}]}\n\n"
    static const char stream[] = CHUNK("{\"role\":\"assistant\",\"content\":\"one\"}", "null")
        CHUNK("{\"content\":\" two\"}", "null") CHUNK("{}", "\"stop\"") "data: [DONE]\n\n";
#undef CHUNK
    bool is_stream = strstr(peer->request, "\"stream\":true") != NULL;
    const char *body = is_stream ? stream : whole;
    char head[200];
    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
             is_stream ? "text/event-stream" : "application/json", strlen(body));
    server_say(peer->descriptor, head);
    server_say(peer->descriptor, body);
}

/* False when the connection is to be closed. */
static inline bool server_answer(struct upstream_peer *peer)
{
    int out = peer->descriptor;
    const char *path = strchr(peer->request, ' ') + 1;
#define PATH_IS(text) (strncmp(path, text " ", sizeof(text)) == 0)
    if (PATH_IS("/echo")) {
        server_answer_echo(peer);
    } else if (PATH_IS("/v1/chat/completions")) {
        server_answer_completion(peer);
    } else if (PATH_IS("/chunks")) {
        server_say(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                        "Content-Type: text/event-stream\r\n\r\n");
        for (int i = 0; i < 5; i++) {
            server_say(out, "9\r\ndata: x\n\n\r\n");
            server_pause(30);
        }
        server_say(out, "0\r\nX-Trailer: late\r\n\r\n");
    } else if (PATH_IS("/endless")) {
        server_say(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int i = 0; i < 200 && !atomic_load(&peer->server->ends); i++) {
            server_say(out, "1\r\nx\r\n");
            server_pause(20);
        }
        return false;
    } else if (PATH_IS("/silent")) {
        server_wait_for_close(out);
        return false;
    } else if (PATH_IS("/stalls")) {
        server_say(out, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning");
        server_wait_for_close(out);
        return false;
    } else if (PATH_IS("/truncated")) {
        server_say(out, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning");
        return false;
    } else if (PATH_IS("/truncated-head")) {
        server_say(out, "HTTP/1.1 200 OK\r\nContent-Le");
        return false;
    } else if (PATH_IS("/truncated-chunk")) {
        server_say(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata");
        return false;
    } else if (PATH_IS("/nonsense")) {
        server_say(out, "\1\2\3 this is not HTTP at all\r\n\r\n");
        return false;
    } else if (PATH_IS("/hangs-up")) {
        atomic_fetch_add(&peer->server->hang_ups, 1);
        return false;
    } else if (PATH_IS("/redirect")) {
        server_say(out, "HTTP/1.1 302 Found\r\nLocation: /echo\r\nContent-Length: 0\r\n\r\n");
    } else if (PATH_IS("/interim")) {
        server_say(out, "HTTP/1.1 103 Early Hints\r\nX-Early: yes\r\n\r\n"
                        "HTTP/1.1 201 Created\r\nX-Final:  a b \r\nContent-Length: 2\r\n\r\nok");
    } else if (PATH_IS("/big")) {
        server_answer_big(out);
    } else if (PATH_IS("/many-headers")) {
        server_answer_many_headers(out);
    } else {
        bool is_head = strncmp(peer->request, "HEAD ", 5) == 0;
        server_say(out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n");
        server_say(out, is_head ? "" : "hello");
    }
    return true;
}

static inline void *server_serve(void *context)
{
    struct upstream_peer *peer = context;
    while (server_read(peer) && server_answer(peer)) {
    }
    close(peer->descriptor);
    atomic_fetch_sub(&peer->server->open, 1);
    free(peer);
    return NULL;
}

static inline void *server_accept(void *context)
{
    struct upstream_server *server = context;
    for (;;) {
        int descriptor = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (descriptor < 0 || atomic_load(&server->ends)) {
            return NULL;
        }
        struct timeval limit = {.tv_sec = SERVER_PATIENCE};
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        struct upstream_peer *peer = calloc(1, sizeof(*peer));
        peer->server = server;
        peer->descriptor = descriptor;
        atomic_fetch_add(&server->connections, 1);
        atomic_fetch_add(&server->open, 1);
        pthread_t thread;
        pthread_create(&thread, NULL, server_serve, peer);
        pthread_detach(thread);
    }
}

/* A port where connecting takes for ever, because its queue is full. */
struct deaf_port {
    int listener;
    int fillers[8];
    int port;
};

static inline void deaf_port_open(struct deaf_port *deaf)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    deaf->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(deaf->listener, (struct sockaddr *)&address, size) != 0 ||
        listen(deaf->listener, 0) != 0 ||
        getsockname(deaf->listener, (struct sockaddr *)&address, &size) != 0) {
        abort();
    }
    deaf->port = ntohs(address.sin_port);
    for (int i = 0; i < 8; i++) {
        deaf->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(deaf->fillers[i], (struct sockaddr *)&address, size);
    }
    server_pause(20);
}

static inline void deaf_port_close(struct deaf_port *deaf)
{
    for (int i = 0; i < 8; i++) {
        close(deaf->fillers[i]);
    }
    close(deaf->listener);
}

/* `path`: a Unix socket; NULL: a port of 127.0.0.1. */
static inline void server_start(struct upstream_server *server, const char *path)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    memset(server, 0, sizeof(*server));
    server->listener = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (path != NULL) {
        snprintf(local.sun_path, sizeof(local.sun_path), "%s", path);
        if (bind(server->listener, (struct sockaddr *)&local, sizeof(local)) != 0) {
            abort();
        }
    } else if (bind(server->listener, (struct sockaddr *)&address, sizeof(address)) != 0) {
        abort();
    }
    if (listen(server->listener, 100) != 0) {
        abort();
    }
    socklen_t size = sizeof(address);
    if (path == NULL) {
        getsockname(server->listener, (struct sockaddr *)&address, &size);
        server->port = ntohs(address.sin_port);
    }
    pthread_create(&server->thread, NULL, server_accept, server);
}

static inline void server_stop(struct upstream_server *server)
{
    atomic_store(&server->ends, true);
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    /* Their threads still use `server`. */
    for (int i = 0; atomic_load(&server->open) > 0; i++) {
        if (i > 2000 * SERVER_PATIENCE) {
            abort();
        }
        server_pause(1);
    }
}

#endif
