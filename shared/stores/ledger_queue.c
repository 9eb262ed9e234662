/*
 * stores/ledger_queue: see the header.
 */
#include "stores/ledger_queue.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/context.h"
#include "base/memory.h"
#include "log/log.h"
#include "stores/ledger_spill.h"
#include "stores/rows.h"

#define BATCH_MAXIMUM    200
#define SECOND           UINT64_C(1000000000)
#define REST_NANOSECONDS SECOND
#define MILLISECOND      UINT64_C(1000000)

struct ledger_ticket {
    struct ledger_entry entry; /* its texts stand behind it */
    enum status status;
    bool is_done;
    bool is_kept; /* nobody waits for it any more */
    struct ledger_ticket *next;
};

static void count(const struct ledger_queue *queue, const char *result)
{
    metrics_add(queue->metrics, METRIC_LEDGER_ENTRIES, METRIC_LABELS(result), 1);
}

void ledger_queue_init(struct ledger_queue *queue, struct storage *storage, struct metrics *metrics)
{
    pthread_condattr_t attributes;
    *queue = (struct ledger_queue){.storage = storage, .metrics = metrics};
    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* From the log it can be entered again. */
static void lose(const struct ledger_queue *queue, const struct ledger_entry *entry,
                 enum status status)
{
    struct context origin = {.correlation_id = ""};
    snprintf(origin.correlation_id, sizeof origin.correlation_id, "%s",
             entry->request_id != NULL ? entry->request_id : "");
    const struct context before = context_enter(&origin);
    count(queue, "lost");
    log_write(LOG_ERROR, "ledger_write_failed", LOG_TEXT("error_type", status_text(status)),
              LOG_TEXT("request_id", entry->request_id), LOG_TEXT("owner", entry->owner),
              LOG_TEXT("principal", entry->principal), LOG_TEXT("provider", entry->provider),
              LOG_TEXT("model", entry->model), LOG_TEXT("operation", entry->operation),
              LOG_TEXT("outcome", entry->outcome), LOG_BOOLEAN("estimated", entry->is_estimated),
              LOG_INTEGER("input_tokens", entry->input_tokens),
              LOG_INTEGER("output_tokens", entry->output_tokens),
              LOG_INTEGER("cost_nanodollars", entry->cost_nanodollars));
    context_leave(&before);
}

/* --- Tickets ---------------------------------------------------------------------------------- */

static struct ledger_ticket *make_ticket(const struct ledger_entry *entry)
{
    const char *const texts[] = {entry->request_id, entry->owner, entry->principal,
                                 entry->provider,   entry->model, entry->operation,
                                 entry->outcome};
    size_t size = sizeof(struct ledger_ticket);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size += texts[i] != NULL ? strlen(texts[i]) + 1 : 0;
    }
    struct ledger_ticket *ticket = memory_allocate(size);
    if (ticket == NULL) {
        return NULL;
    }
    *ticket = (struct ledger_ticket){.entry = *entry};
    const char **copies[] = {&ticket->entry.request_id, &ticket->entry.owner,
                             &ticket->entry.principal,  &ticket->entry.provider,
                             &ticket->entry.model,      &ticket->entry.operation,
                             &ticket->entry.outcome};
    char *at = (char *)(ticket + 1);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i] != NULL) {
            size_t length = strlen(texts[i]) + 1;
            memcpy(at, texts[i], length);
            *copies[i] = at;
            at += length;
        }
    }
    return ticket;
}

/* Below, the queue is locked. */

static void append(struct ledger_queue *queue, struct ledger_ticket *ticket)
{
    if (queue->last != NULL) {
        queue->last->next = ticket;
    } else {
        queue->first = ticket;
    }
    queue->last = ticket;
    queue->count++;
}

static struct ledger_ticket *take_batch(struct ledger_queue *queue)
{
    struct ledger_ticket *batch = queue->first;
    struct ledger_ticket *end = batch;
    for (int i = 1; i < BATCH_MAXIMUM && end->next != NULL; i++) {
        end = end->next;
    }
    queue->first = end->next;
    queue->last = queue->first != NULL ? queue->last : NULL;
    end->next = NULL;
    return batch;
}

static void put_back(struct ledger_queue *queue, struct ledger_ticket *batch)
{
    struct ledger_ticket *end = batch;
    while (end->next != NULL) {
        end = end->next;
    }
    end->next = queue->first;
    queue->last = queue->last != NULL ? queue->last : end;
    queue->first = batch;
}

/* It has been written, or never will be. Whoever waits for it frees it. */
static void settle(struct ledger_queue *queue, struct ledger_ticket *ticket, enum status status)
{
    ticket->status = status;
    ticket->is_done = true;
    queue->count--;
    if (status == STATUS_OK) {
        count(queue, "written");
    } else {
        lose(queue, &ticket->entry, status);
    }
    if (ticket->is_kept) {
        memory_release(ticket);
    }
}

/* --- Writing ---------------------------------------------------------------------------------- */

static enum status insert_batch(struct storage_connection *connection, void *context)
{
    enum status status = STATUS_OK;
    for (const struct ledger_ticket *ticket = context; ticket != NULL && status == STATUS_OK;
         ticket = ticket->next) {
        status = ledger_insert_within(connection, &ticket->entry);
    }
    return status;
}

/* The database's trouble, not the entry's. */
static bool is_outage(enum status status)
{
    return status == STATUS_UNAVAILABLE || status == STATUS_BUSY || status == STATUS_TIMEOUT ||
           status == STATUS_NO_MEMORY;
}

/* One of several is refused: each is written alone. Unlocked; the statuses are told in the
 * tickets. */
static void write_one_by_one(struct ledger_queue *queue, struct ledger_ticket *batch)
{
    for (struct ledger_ticket *ticket = batch; ticket != NULL; ticket = ticket->next) {
        ticket->status = ledger_insert(queue->storage, &ticket->entry);
        if (is_outage(ticket->status)) {
            for (; ticket->next != NULL; ticket = ticket->next) {
                ticket->next->status = ticket->status;
            }
        }
    }
}

/* Writes the oldest. Locked before and after, but not meanwhile. */
static void write_batch(struct ledger_queue *queue)
{
    struct ledger_ticket *batch = take_batch(queue);
    queue->is_writing = true;
    queue->writing = batch;
    pthread_mutex_unlock(&queue->lock);
    enum status status = rows_transaction(queue->storage, insert_batch, batch);
    bool is_alone = batch->next == NULL;
    for (struct ledger_ticket *ticket = batch; ticket != NULL; ticket = ticket->next) {
        ticket->status = status;
    }
    if (status != STATUS_OK && !is_outage(status) && !is_alone) {
        write_one_by_one(queue, batch);
    }
    pthread_mutex_lock(&queue->lock);
    queue->is_writing = false;
    queue->writing = NULL;
    struct ledger_ticket *next;
    struct ledger_ticket *left = NULL;
    struct ledger_ticket **left_end = &left;
    for (struct ledger_ticket *ticket = batch; ticket != NULL; ticket = next) {
        next = ticket->next;
        ticket->next = NULL;
        if (is_outage(ticket->status)) {
            *left_end = ticket;
            left_end = &ticket->next;
        } else {
            settle(queue, ticket, ticket->status);
        }
    }
    if (left != NULL) {
        put_back(queue, left);
        queue->rest_until = clock_monotonic_nanoseconds() + REST_NANOSECONDS;
    }
    pthread_cond_broadcast(&queue->changed);
}

static bool is_resting(const struct ledger_queue *queue)
{
    return clock_monotonic_nanoseconds() < queue->rest_until;
}

static void wait_until(struct ledger_queue *queue, uint64_t deadline)
{
    struct timespec time = {.tv_sec = (time_t)(deadline / SECOND),
                            .tv_nsec = (long)(deadline % SECOND)};
    (void)pthread_cond_timedwait(&queue->changed, &queue->lock, &time);
}

enum status ledger_queue_insert(struct ledger_queue *queue, const struct ledger_entry *entry)
{
    struct ledger_ticket *ticket = make_ticket(entry);
    if (ticket == NULL) {
        enum status status = ledger_insert(queue->storage, entry);
        if (status == STATUS_OK) {
            count(queue, "written");
        } else {
            lose(queue, entry, status);
        }
        return status;
    }
    uint64_t deadline = clock_monotonic_nanoseconds() + LEDGER_WAIT_MILLISECONDS * MILLISECOND;
    pthread_mutex_lock(&queue->lock);
    if (queue->count >= LEDGER_KEPT_MAXIMUM) {
        lose(queue, entry, STATUS_TOO_LARGE);
        pthread_mutex_unlock(&queue->lock);
        memory_release(ticket);
        return STATUS_TOO_LARGE;
    }
    append(queue, ticket);
    while (!ticket->is_done) {
        if (is_resting(queue) || clock_monotonic_nanoseconds() >= deadline) {
            ticket->is_kept = true;
            count(queue, "kept");
            pthread_mutex_unlock(&queue->lock);
            return STATUS_BUSY;
        }
        if (queue->is_writing) {
            wait_until(queue, deadline);
        } else {
            write_batch(queue);
        }
    }
    enum status status = ticket->status;
    pthread_mutex_unlock(&queue->lock);
    memory_release(ticket);
    return status;
}

static int64_t sum_of(const struct ledger_ticket *ticket, const char *owner, int64_t sum)
{
    for (; ticket != NULL; ticket = ticket->next) {
        const struct ledger_entry *entry = &ticket->entry;
        bool is_owners = entry->owner != NULL && strcmp(entry->owner, owner) == 0;
        int64_t cost = is_owners ? entry->cost_nanodollars : 0;
        sum = cost < LEDGER_OWED_MAXIMUM - sum ? sum + cost : LEDGER_OWED_MAXIMUM;
    }
    return sum;
}

int64_t ledger_queue_owed(struct ledger_queue *queue, const char *owner)
{
    pthread_mutex_lock(&queue->lock);
    int64_t sum = sum_of(queue->writing, owner, sum_of(queue->first, owner, 0));
    pthread_mutex_unlock(&queue->lock);
    return sum;
}

void ledger_queue_flush(struct ledger_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->first != NULL && !queue->is_writing && !is_resting(queue)) {
        write_batch(queue);
    }
    pthread_mutex_unlock(&queue->lock);
}

/* --- From one program to the next -------------------------------------------------------------- */

void ledger_queue_close(struct ledger_queue *queue, const char *path)
{
    queue->rest_until = 0;
    ledger_queue_flush(queue);
    while (queue->first != NULL) {
        struct ledger_ticket *ticket = queue->first;
        queue->first = ticket->next;
        enum status status =
            path != NULL ? ledger_spill_append(path, &ticket->entry) : STATUS_UNAVAILABLE;
        if (status != STATUS_OK) {
            lose(queue, &ticket->entry, status);
        }
        memory_release(ticket);
    }
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
}

static enum status insert_restored(struct storage_connection *connection, void *context)
{
    return ledger_spill_each(context, connection);
}

bool ledger_queue_restore(struct ledger_queue *queue, const char *path)
{
    struct ledger_spill spill;
    enum status status = ledger_spill_open(path, &spill);
    if (status == STATUS_NOT_FOUND) {
        return true;
    }
    if (status == STATUS_OK) {
        status = rows_transaction(queue->storage, insert_restored, &spill);
        log_write(status == STATUS_OK ? LOG_INFO : LOG_WARNING, "ledger_restored",
                  LOG_TEXT("status", status_text(status)), LOG_INTEGER("count", spill.count));
        ledger_spill_close(&spill, status == STATUS_OK);
    }
    return status == STATUS_OK;
}
