/*
 * auth/session_cache: the owners of login sessions, remembered while they are the same.
 *
 * Every request with an access token asks for one; this saves it the database as long as nobody
 * on this host has changed an account or a session (storage_version), and for
 * SESSION_CACHE_MILLISECONDS at most, so that a change made by other means counts as well. A
 * revocation that has been acknowledged is therefore seen by the very next request of any program.
 * Where storage_version knows nothing, each request reads.
 *
 * Memory is bounded: SESSION_CACHE_SIZE entries of less than 1 KB, the newest of those that meet in
 * one place. Password hashes are not kept. May be used by any number of threads.
 */
#ifndef AUTH_SESSION_CACHE_H
#define AUTH_SESSION_CACHE_H

#include "base/arena.h"
#include "base/status.h"
#include "storage/storage.h"
#include "stores/accounts.h"

#define SESSION_CACHE_SIZE         1024
#define SESSION_CACHE_MILLISECONDS 1000

struct session_cache;

/* `storage` must outlive the cache. */
enum status session_cache_create(struct session_cache **out, struct storage *storage) MUST_CHECK;
void session_cache_release(struct session_cache *cache);

/* As account_find_by_session. */
enum status session_cache_find(struct session_cache *cache, struct arena *arena, const char *id,
                               struct account *account, struct account_session *session) MUST_CHECK;

#endif
