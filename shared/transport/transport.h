/*
 * transport: runs a program's request handlers behind whatever started it.
 *
 * Started with a listening socket as descriptor 0 (lighttpd, spawn-fcgi, mod_fcgid, systemd), with
 * LISTEN_FDS=1, or with --listen PATH (the socket is made by us with mode 0660): FastCGI. Started
 * with GATEWAY_INTERFACE in the environment and no such socket: one CGI request on
 * environment + stdin, then exit. Otherwise: a usage message and exit 64 (EX_USAGE), or what
 * --help and --version ask for.
 *
 * FastCGI: one event thread (epoll) accepts until EAGAIN, reads records without blocking, watches
 * idle, kept and slow connections and owns all signals (signalfd); N workers run handlers; a pump
 * thread, made when the first stream is adopted, runs streams. A connection that is idle, slow to
 * send or slow to read costs no thread. SIGTERM/SIGINT: stop accepting, end idle connections,
 * finish requests, end streams with their event, leave after 30 s at the latest. SIGHUP: reload.
 */
#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include "transport/exchange.h"
#include "transport/pump.h"

struct transport;

enum transport_loop { TRANSPORT_EVENT_LOOP, TRANSPORT_PUMP_LOOP };

/* On the loop's own thread: for `nanoseconds` it attended to nothing else (loop_lag.h). */
typedef void transport_turned(enum transport_loop loop, uint64_t nanoseconds, void *context);

struct transport_options {
    const char *program;              /* for thread names */
    int worker_count;                 /* 1 … 1024 */
    int queue_maximum;                /* requests waiting for a worker */
    int connection_maximum;           /* 0 = 16384; beyond it accepting pauses. Less when there are
                                         not so many descriptors (RLIMIT_NOFILE, which is raised to
                                         its hard limit). */
    unsigned request_timeout_seconds; /* for a request to arrive, longer with its body; 0 = 60 */
    unsigned write_timeout_seconds;   /* without progress; 0 = 30 */
    unsigned idle_timeout_seconds;    /* kept connections; 0 = 75 */
    int stream_maximum; /* open at the same time; 0 = 16384. Less where there are not two descriptors
                         * for each: its client's and its provider's. */
    const char *body_directory; /* for large bodies; NULL: none are taken in */
    uint64_t body_room;         /* bytes of them at once; 0 = 1 GiB */
    struct exchange_handlers handlers;
    /* Each may be NULL; context is handlers.context. */
    enum status (*started)(struct transport *transport, void *context); /* before accepting */
    void (*reload)(void *context);                                      /* SIGHUP, on a worker */
    void (*background)(void *context); /* about once a second, on a worker, never twice at once */
    transport_turned *turned;
    void (*stopped)(void *context); /* after the last request, on the main thread */
};

/* Finds out what has started the program, before anything is opened or made. -1: transport_run can
 * serve that. Otherwise the exit status to end with at once: 0 after --help or --version (on
 * standard output), 64 after a usage message for arguments that are missing or unknown. Arguments
 * count only when no socket was given and GATEWAY_INTERFACE is not set. */
int transport_check_start(const char *program, int argc, char **argv) MUST_CHECK;

/* True when a web server has started this program for one request. */
bool transport_is_cgi(void);

/* Runs until the end of the program; returns the exit status. */
int transport_run(const struct transport_options *options, int argc, char **argv);

/* The pump of this program; made on first use, from any thread. NULL when its thread cannot be made
 * or the program stops. With NULL: the pump of the loopback run in the calling thread. */
struct pump *transport_pump(struct transport *transport);

#endif
