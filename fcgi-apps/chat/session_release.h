/*
 * chat/session_release: giving back the locks of sessions, also when the database takes nothing.
 *
 * A lock that could not be given back would keep its session from everybody until its lease is over.
 * It is noted here, and housekeeping gives it back as soon as the database takes that. When its
 * lease is over it is forgotten. Locks of a process that has died are free anyway.
 *
 * Any thread.
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

/* conversation_release; when that fails the lock is noted, but not `entry`. */
enum status session_release(struct session_releases *releases, struct storage *storage,
                            const struct conversation_lock *lock,
                            const struct ledger_entry *entry) MUST_CHECK;

/* Gives back what is owed. Waits for the database. */
void session_releases_flush(struct session_releases *releases, struct storage *storage);

#endif
