/*
 * workers: one lock, a queue for each kind of work, and a stack of idle threads.
 *
 * The thread that went idle last is woken first, because its stack and its memory are still in the
 * processor's cache. At most one thread is being woken at a time, and a woken thread that leaves
 * work behind wakes the next one: a burst of short requests is then served by few threads, and a
 * queue of long ones still has all of them within microseconds. A kind at its maximum waits for one
 * of its own to end, and the thread that ends it looks at the queues anyway.
 */
#include "transport/workers.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>

#include "base/memory.h"

#define STACK_SIZE (256u << 10)

struct queue {
    struct worker_task *first;
    struct worker_task *last;
    int length;
    int running;
    int running_maximum;
};

struct worker {
    struct workers *workers;
    struct worker *next_idle;
    sem_t wake;
    pthread_t thread;
};

struct workers {
    pthread_mutex_t lock;
    struct worker *idle;
    struct queue queues[WORKER_KINDS];
    unsigned long arrivals;
    int queue_maximum; /* of each kind of request */
    int slow_maximum;  /* of what may wait long, all kinds together */
    int busy;
    int waking;
    bool stopping;
    int count; /* threads that were started */
    const char *program;
    struct worker threads[];
};

void workers_name_thread(const char *program, const char *suffix)
{
    char name[16];
    int room = (int)(sizeof(name) - 1);
    snprintf(name, sizeof(name), "%.*s %s", room - 8, program, suffix);
    pthread_setname_np(pthread_self(), name);
}

enum status workers_make_thread(pthread_t *thread, void *(*run)(void *context), void *context)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    pthread_t made;
    if (pthread_attr_init(&attributes) != 0) {
        return STATUS_NO_MEMORY;
    }
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&made, &attributes, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
        return STATUS_UNAVAILABLE;
    }
    *thread = made;
    return STATUS_OK;
}

/* --- With the lock held -------------------------------------------------------------------------- */

/* What may wait long, whatever for. */
static bool is_slow(enum worker_kind kind)
{
    return kind != WORKER_QUICK;
}

static bool may_run(const struct workers *workers, enum worker_kind kind)
{
    const struct queue *queue = &workers->queues[kind];
    int requests = workers->queues[WORKER_WAITING].running + workers->queues[WORKER_HEAVY].running;
    int slow =
        requests + workers->queues[WORKER_TASK].running + workers->queues[WORKER_SPOOL].running;
    bool is_request = kind == WORKER_WAITING || kind == WORKER_HEAVY;
    return queue->first != NULL && queue->running < queue->running_maximum &&
           (!is_slow(kind) || slow < workers->slow_maximum) &&
           (!is_request || requests < workers->queues[WORKER_WAITING].running_maximum);
}

/* Tasks first, then what came first; WORKER_KINDS when there is nothing that may run. */
static enum worker_kind choose_kind(const struct workers *workers)
{
    enum worker_kind chosen = WORKER_KINDS;
    if (may_run(workers, WORKER_TASK)) {
        return WORKER_TASK;
    }
    for (enum worker_kind kind = WORKER_QUICK; kind < WORKER_KINDS; kind++) {
        if (may_run(workers, kind) &&
            (chosen == WORKER_KINDS ||
             workers->queues[kind].first->number < workers->queues[chosen].first->number)) {
            chosen = kind;
        }
    }
    return chosen;
}

static bool has_work(const struct workers *workers)
{
    return choose_kind(workers) != WORKER_KINDS;
}

static void put(struct workers *workers, enum worker_kind kind, struct worker_task *task)
{
    struct queue *queue = &workers->queues[kind];
    task->next = NULL;
    task->origin = *context_current();
    task->number = workers->arrivals++;
    if (queue->last == NULL) {
        queue->first = task;
    } else {
        queue->last->next = task;
    }
    queue->last = task;
    queue->length++;
}

static struct worker_task *take(struct workers *workers, enum worker_kind kind)
{
    struct queue *queue = &workers->queues[kind];
    struct worker_task *task = queue->first;
    queue->first = task->next;
    if (queue->first == NULL) {
        queue->last = NULL;
    }
    queue->length--;
    queue->running++;
    return task;
}

/* Returns the thread to signal once the lock is free, or NULL. */
static struct worker *choose_to_wake(struct workers *workers)
{
    struct worker *worker = workers->idle;
    if (worker == NULL || workers->waking > 0 || !has_work(workers)) {
        return NULL;
    }
    workers->idle = worker->next_idle;
    workers->waking++;
    return worker;
}

static void wait_for_work(struct worker *worker)
{
    struct workers *workers = worker->workers;
    worker->next_idle = workers->idle;
    workers->idle = worker;
    pthread_mutex_unlock(&workers->lock);
    while (sem_wait(&worker->wake) != 0 && errno == EINTR) {
    }
    pthread_mutex_lock(&workers->lock);
    workers->waking--;
}

/* --------------------------------------------------------------------------------------------------- */

static void *run_worker(void *context)
{
    struct worker *worker = context;
    struct workers *workers = worker->workers;
    workers_name_thread(workers->program, "worker");
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        enum worker_kind kind = choose_kind(workers);
        if (kind == WORKER_KINDS) {
            if (workers->stopping) {
                break;
            }
            wait_for_work(worker);
            continue;
        }
        struct worker_task *task = take(workers, kind);
        struct worker *next = choose_to_wake(workers);
        workers->busy++;
        pthread_mutex_unlock(&workers->lock);
        if (next != NULL) {
            sem_post(&next->wake);
        }
        const struct context before = context_enter(&task->origin);
        task->run(task->context);
        context_leave(&before);
        pthread_mutex_lock(&workers->lock);
        workers->busy--;
        workers->queues[kind].running--;
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

static void release(struct workers *workers)
{
    pthread_mutex_destroy(&workers->lock);
    memory_release(workers);
}

/* A share of the threads for each kind; with one thread everything shares it. */
static void set_shares(struct workers *workers, int count)
{
    int quarter = count / 4 > 0 ? count / 4 : 1;
    int reserved = count > 1 ? quarter : 0;
    int slow = count - reserved;
    /* Streams end in tasks, so requests leave them a thread. */
    int waiting = slow > 1 ? slow - 1 : 1;
    workers->slow_maximum = slow;
    workers->queues[WORKER_TASK].running_maximum = slow;
    workers->queues[WORKER_QUICK].running_maximum = count;
    workers->queues[WORKER_WAITING].running_maximum = waiting;
    workers->queues[WORKER_HEAVY].running_maximum = quarter < waiting ? quarter : waiting;
    workers->queues[WORKER_SPOOL].running_maximum = quarter;
}

enum status workers_start(struct workers **out, const char *program, int count, int queue_maximum)
{
    struct workers *workers =
        memory_allocate(sizeof(*workers) + (size_t)count * sizeof(workers->threads[0]));
    *out = NULL;
    if (workers == NULL) {
        return STATUS_NO_MEMORY;
    }
    /* Held for so short a time that looking again is cheaper than sleeping. */
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&workers->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    workers->program = program;
    workers->queue_maximum = queue_maximum;
    set_shares(workers, count);
    for (int i = 0; i < count; i++) {
        struct worker *worker = &workers->threads[i];
        worker->workers = workers;
        sem_init(&worker->wake, 0, 0);
        if (workers_make_thread(&worker->thread, run_worker, worker) != STATUS_OK) {
            sem_destroy(&worker->wake);
            workers_stop(workers);
            return STATUS_UNAVAILABLE;
        }
        workers->count++;
    }
    *out = workers;
    return STATUS_OK;
}

static void unlock_and_wake(struct workers *workers)
{
    struct worker *worker = choose_to_wake(workers);
    pthread_mutex_unlock(&workers->lock);
    if (worker != NULL) {
        sem_post(&worker->wake);
    }
}

enum status workers_request(struct workers *workers, enum worker_kind kind,
                            struct worker_task *task)
{
    enum status status = STATUS_OK;
    pthread_mutex_lock(&workers->lock);
    if (kind != WORKER_SPOOL && workers->queues[kind].length >= workers->queue_maximum) {
        status = STATUS_BUSY;
    } else {
        put(workers, kind, task);
    }
    pthread_mutex_unlock(&workers->lock);
    return status;
}

void workers_wake(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    unlock_and_wake(workers);
}

void workers_add(struct workers *workers, struct worker_task *task)
{
    pthread_mutex_lock(&workers->lock);
    put(workers, WORKER_TASK, task);
    unlock_and_wake(workers);
}

bool workers_are_idle(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    bool idle = workers->busy == 0;
    for (int kind = 0; kind < WORKER_KINDS; kind++) {
        idle = idle && workers->queues[kind].first == NULL;
    }
    pthread_mutex_unlock(&workers->lock);
    return idle;
}

void workers_stop(struct workers *workers)
{
    if (workers == NULL) {
        return;
    }
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    for (struct worker *worker = workers->idle; worker != NULL; worker = worker->next_idle) {
        workers->waking++;
        sem_post(&worker->wake);
    }
    workers->idle = NULL;
    pthread_mutex_unlock(&workers->lock);
    for (int i = 0; i < workers->count; i++) {
        pthread_join(workers->threads[i].thread, NULL);
        sem_destroy(&workers->threads[i].wake);
    }
    release(workers);
}
