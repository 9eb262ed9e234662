/*
 * stores/ledger_queue: entries that threads of one process add to the ledger at the same time, in one
 * transaction.
 *
 * A transaction for each answer of a model was a quarter of all the work of a completion. Whoever
 * comes while another thread is writing waits for it; then one of those who waited writes the
 * entries of all. Whoever comes alone writes at once. When ledger_queue_insert returns
 * STATUS_OK, the entry survives kill -9, as with ledger_insert.
 */
#ifndef STORES_LEDGER_QUEUE_H
#define STORES_LEDGER_QUEUE_H

#include <pthread.h>
#include <stdbool.h>

#include "stores/ledger.h"

struct ledger_ticket;

struct ledger_queue {
    struct storage *storage;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct ledger_ticket *waiting; /* newest first */
    bool is_writing;
};

/* `storage` must outlive the queue. */
void ledger_queue_init(struct ledger_queue *queue, struct storage *storage);

/* Nobody may be waiting. */
void ledger_queue_destroy(struct ledger_queue *queue);

/* Blocks. An entry that the database refuses does not keep the others of its group out. */
enum status ledger_queue_insert(struct ledger_queue *queue,
                                const struct ledger_entry *entry) MUST_CHECK;

#endif
