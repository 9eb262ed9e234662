/*
 * stores/ledger_queue: see the header.
 */
#include "stores/ledger_queue.h"

#include "stores/rows.h"

/* On the stack of the thread that waits. */
struct ledger_ticket {
    const struct ledger_entry *entry;
    enum status status;
    bool is_done;
    struct ledger_ticket *next;
};

void ledger_queue_init(struct ledger_queue *queue, struct storage *storage)
{
    *queue = (struct ledger_queue){.storage = storage};
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, NULL);
}

void ledger_queue_destroy(struct ledger_queue *queue)
{
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
}

static enum status insert_group(struct storage_connection *connection, void *context)
{
    enum status status = STATUS_OK;
    for (const struct ledger_ticket *ticket = context; ticket != NULL && status == STATUS_OK;
         ticket = ticket->next) {
        status = ledger_insert_within(connection, ticket->entry);
    }
    return status;
}

static void write_group(struct storage *storage, struct ledger_ticket *group)
{
    enum status status = rows_transaction(storage, insert_group, group);
    bool is_alone = group->next == NULL;
    for (struct ledger_ticket *ticket = group; ticket != NULL; ticket = ticket->next) {
        /* Whose fault it was is not known. */
        ticket->status =
            status == STATUS_OK || is_alone ? status : ledger_insert(storage, ticket->entry);
    }
}

enum status ledger_queue_insert(struct ledger_queue *queue, const struct ledger_entry *entry)
{
    struct ledger_ticket own = {.entry = entry};
    pthread_mutex_lock(&queue->lock);
    own.next = queue->waiting;
    /* It is off the list before it is done, and this function stays until it is. */
    /* cppcheck-suppress autoVariables */
    queue->waiting = &own;
    while (!own.is_done) {
        if (queue->is_writing) {
            pthread_cond_wait(&queue->changed, &queue->lock);
            continue;
        }
        struct ledger_ticket *group = queue->waiting;
        queue->waiting = NULL;
        queue->is_writing = true;
        pthread_mutex_unlock(&queue->lock);
        write_group(queue->storage, group);
        pthread_mutex_lock(&queue->lock);
        queue->is_writing = false;
        /* Tickets are gone as soon as their threads get the lock. */
        for (; group != NULL; group = group->next) {
            group->is_done = true;
        }
        pthread_cond_broadcast(&queue->changed);
    }
    pthread_mutex_unlock(&queue->lock);
    return own.status;
}
