/*
 * transport/workers: the threads that run what may block.
 *
 * Two queues. Requests wait in a bounded one: when it is full, the caller answers 503 at once
 * instead of letting clients wait for nothing. Tasks (offloads of streams, background, reload) wait
 * in the other one and are served first; a task brings its own link, so queueing it cannot fail.
 */
#ifndef TRANSPORT_WORKERS_H
#define TRANSPORT_WORKERS_H

#include <pthread.h>
#include <stdbool.h>

#include "base/status.h"

struct workers;

/* Owned by the caller; must live, and must not be queued again, until `run` has been called. */
struct worker_task {
    void (*run)(void *context);
    void *context;
    struct worker_task *next;
};

/* `program` names the threads. `count` and `queue_maximum` >= 1. STATUS_NO_MEMORY, or
 * STATUS_UNAVAILABLE when a thread cannot be made. */
enum status workers_start(struct workers **out, const char *program, int count,
                          int queue_maximum) MUST_CHECK;

/* Queues a request; STATUS_BUSY when the queue is full. A thread that sleeps is woken by
 * workers_wake, so that several requests that came together cost one wake-up. One thread only. */
enum status workers_request(struct workers *workers, void (*run)(void *context),
                            void *context) MUST_CHECK;

void workers_wake(struct workers *workers);

/* From any thread. */
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
