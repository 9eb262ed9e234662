/*
 * workers: one lock, two queues, and a stack of idle threads.
 *
 * The thread that went idle last is woken first, because its stack and its memory are still in the
 * processor's cache. At most one thread is being woken at a time, and a woken thread that leaves
 * work behind wakes the next one: a burst of short requests is then served by few threads, and a
 * queue of long ones still has all of them within microseconds.
 */
#include "transport/workers.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>

#include "base/memory.h"

#define STACK_SIZE (256u << 10)

struct request {
    void (*run)(void *context);
    void *context;
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
    struct worker_task *first_task;
    struct worker_task *last_task;
    struct request *queue; /* ring */
    int queue_size;
    int queue_start;
    int queue_length;
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

static bool has_work(const struct workers *workers)
{
    return workers->first_task != NULL || workers->queue_length > 0;
}

/* Returns the thread to signal once the lock is free, or NULL. */
static struct worker *choose_to_wake(struct workers *workers)
{
    struct worker *worker = workers->idle;
    if (worker == NULL || workers->waking > 0) {
        return NULL;
    }
    workers->idle = worker->next_idle;
    workers->waking++;
    return worker;
}

static struct request take_work(struct workers *workers)
{
    struct request work;
    struct worker_task *task = workers->first_task;
    if (task != NULL) {
        workers->first_task = task->next;
        if (workers->first_task == NULL) {
            workers->last_task = NULL;
        }
        work = (struct request){.run = task->run, .context = task->context};
    } else {
        work = workers->queue[workers->queue_start];
        workers->queue_start = (workers->queue_start + 1) % workers->queue_size;
        workers->queue_length--;
    }
    return work;
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
        if (!has_work(workers)) {
            if (workers->stopping) {
                break;
            }
            wait_for_work(worker);
            continue;
        }
        struct request work = take_work(workers);
        struct worker *next = has_work(workers) ? choose_to_wake(workers) : NULL;
        workers->busy++;
        pthread_mutex_unlock(&workers->lock);
        if (next != NULL) {
            sem_post(&next->wake);
        }
        work.run(work.context);
        pthread_mutex_lock(&workers->lock);
        workers->busy--;
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

static void release(struct workers *workers)
{
    pthread_mutex_destroy(&workers->lock);
    memory_release(workers->queue);
    memory_release(workers);
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
    workers->queue_size = queue_maximum;
    workers->queue = memory_allocate((size_t)queue_maximum * sizeof(workers->queue[0]));
    if (workers->queue == NULL) {
        release(workers);
        return STATUS_NO_MEMORY;
    }
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

enum status workers_request(struct workers *workers, void (*run)(void *context), void *context)
{
    pthread_mutex_lock(&workers->lock);
    if (workers->queue_length == workers->queue_size) {
        pthread_mutex_unlock(&workers->lock);
        return STATUS_BUSY;
    }
    int end = (workers->queue_start + workers->queue_length) % workers->queue_size;
    workers->queue[end] = (struct request){.run = run, .context = context};
    workers->queue_length++;
    pthread_mutex_unlock(&workers->lock);
    return STATUS_OK;
}

void workers_wake(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    if (has_work(workers)) {
        unlock_and_wake(workers);
    } else {
        pthread_mutex_unlock(&workers->lock);
    }
}

void workers_add(struct workers *workers, struct worker_task *task)
{
    task->next = NULL;
    pthread_mutex_lock(&workers->lock);
    if (workers->last_task == NULL) {
        workers->first_task = task;
    } else {
        workers->last_task->next = task;
    }
    workers->last_task = task;
    unlock_and_wake(workers);
}

bool workers_are_idle(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    bool idle = workers->busy == 0 && !has_work(workers);
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
