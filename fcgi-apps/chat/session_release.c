/*
 * chat/session_release: see the header.
 */
#include "session_release.h"

#include "base/clock.h"
#include "base/memory.h"
#include "session_gate.h"

struct owed_lock {
    struct conversation_lock lock;
    uint64_t forget_at; /* monotonic nanoseconds */
    struct owed_lock *next;
};

void session_releases_init(struct session_releases *releases)
{
    releases->first = NULL;
    pthread_mutex_init(&releases->mutex, NULL);
}

void session_releases_destroy(struct session_releases *releases)
{
    while (releases->first != NULL) {
        struct owed_lock *owed = releases->first;
        releases->first = owed->next;
        memory_release(owed);
    }
    pthread_mutex_destroy(&releases->mutex);
}

static void note(struct session_releases *releases, const struct conversation_lock *lock)
{
    struct owed_lock *owed = memory_allocate(sizeof *owed);
    if (owed == NULL) {
        return; /* the end of the lease frees it */
    }
    *owed = (struct owed_lock){.lock = *lock,
                               .forget_at = clock_monotonic_nanoseconds() +
                                            SESSION_LEASE_MILLISECONDS * UINT64_C(1000000)};
    pthread_mutex_lock(&releases->mutex);
    owed->next = releases->first;
    releases->first = owed;
    pthread_mutex_unlock(&releases->mutex);
}

enum status session_release(struct session_releases *releases, struct storage *storage,
                            const struct conversation_lock *lock, const struct ledger_entry *entry)
{
    enum status status = conversation_release(storage, lock, entry);
    if (status != STATUS_OK) {
        note(releases, lock);
    }
    return status;
}

static void forget(struct session_releases *releases, struct owed_lock *owed)
{
    pthread_mutex_lock(&releases->mutex);
    struct owed_lock **at = &releases->first;
    while (*at != owed) {
        at = &(*at)->next;
    }
    *at = owed->next;
    pthread_mutex_unlock(&releases->mutex);
    memory_release(owed);
}

/* Entries are removed here only, and never by two threads at once; others add at the front. So `owed`
 * and those behind it stay valid without the mutex. */
void session_releases_flush(struct session_releases *releases, struct storage *storage)
{
    enum status status = STATUS_OK;
    pthread_mutex_lock(&releases->mutex);
    struct owed_lock *owed = releases->first;
    pthread_mutex_unlock(&releases->mutex);
    while (owed != NULL) {
        struct owed_lock *next = owed->next;
        if (status == STATUS_OK) {
            status = conversation_release(storage, &owed->lock, NULL);
        }
        /* After the first failure the database is not asked again; locks whose time is up go. */
        if (status == STATUS_OK || clock_monotonic_nanoseconds() >= owed->forget_at) {
            forget(releases, owed);
        }
        owed = next;
    }
}
