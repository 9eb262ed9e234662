/*
 * transport/workers: the threads that run what may block.
 *
 * Work comes in kinds. What may wait long (for the database's write lock, a password hash, a large
 * body) has a bounded share of the threads, so that the rest goes on whatever happens there: with
 * four threads or more a quarter of them is never taken by anything but quick requests. Requests of
 * a kind wait in a queue with a maximum: when it is full, the caller answers 503 at once instead of
 * letting clients wait for nothing. Tasks (offloads of streams, background, reload) are served
 * first and never refused. Work brings its own link, so queueing it cannot fail for memory.
 */
#ifndef TRANSPORT_WORKERS_H
#define TRANSPORT_WORKERS_H

#include <pthread.h>
#include <stdbool.h>

#include "base/context.h"
#include "base/status.h"

struct workers;

enum worker_kind {
    WORKER_TASK,    /* not a request */
    WORKER_QUICK,   /* reads, computes, answers */
    WORKER_WAITING, /* may wait for the database's write lock or for a password's hash */
    WORKER_HEAVY,   /* likewise, and has a large body */
    WORKER_SPOOL,   /* takes the next part of a large body in; never refused */
    WORKER_KINDS
};

/* Owned by the caller; must live, and must not be queued again, until `run` has been called. `run` is
 * called in the context (base/context.h) in which the task was queued. */
struct worker_task {
    void (*run)(void *context);
    void *context;
    struct context origin; /* set when it is queued */
    struct worker_task *next;
    unsigned long number; /* in order of arrival */
};

/* `program` names the threads. `count` and `queue_maximum` (of each kind of request) >= 1.
 * STATUS_NO_MEMORY, or STATUS_UNAVAILABLE when a thread cannot be made. */
enum status workers_start(struct workers **out, const char *program, int count,
                          int queue_maximum) MUST_CHECK;

/* Queues a request, from any thread; STATUS_BUSY when its queue is full. A thread that sleeps is
 * woken by workers_wake, so that several requests that came together cost one wake-up. */
enum status workers_request(struct workers *workers, enum worker_kind kind,
                            struct worker_task *task) MUST_CHECK;

void workers_wake(struct workers *workers);

/* Queues a task and wakes a thread, from any thread. */
void workers_add(struct workers *workers, struct worker_task *task);

/* Nothing waits and nothing runs. */
bool workers_are_idle(struct workers *workers);

/* Runs what waits, ends the threads, frees. NULL is allowed. */
void workers_stop(struct workers *workers);

/* "program suffix", cut to what the kernel takes, as the calling thread's name. */
void workers_name_thread(const char *program, const char *suffix);

/* Starts a thread with the stack size all threads of the suite have (256 KB) and all signals
 * blocked. */
enum status workers_make_thread(pthread_t *thread, void *(*run)(void *context),
                                void *context) MUST_CHECK;

#endif
