/*
 * stores/ledger_queue: entries that threads of one process add to the ledger, several in one
 * transaction.
 *
 * A transaction for each answer of a model was a quarter of all the work of a completion. Whoever
 * comes while another thread is writing waits for it; then one of those who waited writes the
 * entries of all. Whoever comes alone writes at once. When ledger_queue_insert returns STATUS_OK,
 * the entry survives kill -9, as with ledger_insert.
 *
 * A database that is locked, full or gone holds nobody up for long and costs no entry: what could
 * not be written is kept in memory, LEDGER_KEPT_MAXIMUM of them, and written when the database
 * answers again (ledger_queue_flush). What is left when the program stops goes to a file, from
 * where the next start takes it; only what can go nowhere is lost, and is written to the log with
 * everything that it says. METRIC_LEDGER_ENTRIES counts all three.
 */
#ifndef STORES_LEDGER_QUEUE_H
#define STORES_LEDGER_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics/metrics.h"
#include "stores/ledger.h"

#define LEDGER_KEPT_MAXIMUM      10000
#define LEDGER_OWED_MAXIMUM      (INT64_MAX / 2) /* so that something can be added */
#define LEDGER_WAIT_MILLISECONDS 1000            /* for another thread's transaction */

struct ledger_ticket;

struct ledger_queue {
    struct storage *storage;
    struct metrics *metrics;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct ledger_ticket *first, *last; /* in the order they came */
    struct ledger_ticket *writing;      /* taken out to be written */
    size_t count;
    bool is_writing;
    uint64_t rest_until; /* monotonic nanoseconds: the database did not answer */
};

/* `storage` and `metrics` (NULL allowed) must outlive the queue. */
void ledger_queue_init(struct ledger_queue *queue, struct storage *storage,
                       struct metrics *metrics);

/* Tries once more to write what is kept; what remains is appended to the file at `path` (NULL: to
 * the log). Nobody may be waiting. */
void ledger_queue_close(struct ledger_queue *queue, const char *path);

/* Blocks as long as a transaction may wait for the database, or LEDGER_WAIT_MILLISECONDS if another
 * thread's turn it is. STATUS_OK: written. STATUS_BUSY: kept, and written later. Anything else:
 * lost, and in the log. An entry that the database refuses does not keep others out. */
enum status ledger_queue_insert(struct ledger_queue *queue,
                                const struct ledger_entry *entry) MUST_CHECK;

/* What `owner` has spent that may not be in the database yet, in nanodollars, LEDGER_OWED_MAXIMUM at
 * most. Ask before reading the database: then what is written meanwhile counts twice rather than
 * never. */
int64_t ledger_queue_owed(struct ledger_queue *queue, const char *owner);

/* Writes what is kept, if the database answers. May block as ledger_queue_insert. */
void ledger_queue_flush(struct ledger_queue *queue);

/* Takes over what an earlier program left at `path`; the file is removed when all of it is in the
 * ledger. False: not now. */
bool ledger_queue_restore(struct ledger_queue *queue, const char *path);

#endif
