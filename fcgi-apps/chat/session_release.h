/*
 * chat/session_release: gives back the locks of sessions, also after the database was out of order.
 *
 * A lock that could not be given back would block its session until its lease is over. So it is noted
 * here, and the background job gives it back as soon as the database accepts that. A lock whose lease
 * is over is forgotten. Locks of a process that has died are free anyway.
 *
 * Any thread may release; session_releases_flush belongs to the background job alone.
 */
#ifndef CHAT_SESSION_RELEASE_H
#define CHAT_SESSION_RELEASE_H

#include <pthread.h>

#include "base/status.h"
#include "storage/storage.h"
#include "stores/conversations.h"

struct owed_lock;

struct session_releases {
    pthread_mutex_t mutex;
    struct owed_lock *first;
};

void session_releases_init(struct session_releases *releases);
void session_releases_destroy(struct session_releases *releases);

/* As conversation_release. When that fails the lock is noted for later, but `entry` is not. */
enum status session_release(struct session_releases *releases, struct storage *storage,
                            const struct conversation_lock *lock,
                            const struct ledger_entry *entry) MUST_CHECK;

/* Gives back the locks that were noted. Waits for the database. */
void session_releases_flush(struct session_releases *releases, struct storage *storage);

#endif
