/*
 * auth/session_cache: a table with one place for each hash of a session's id.
 *
 * An entry is one piece of memory: the structs, then the texts they point to. It is copied as a
 * whole into the asker's arena under the place's lock, and the pointers are moved along.
 */
#include "auth/session_cache.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/siphash.h"

#define LOCKS     16
#define LIFE      (SESSION_CACHE_MILLISECONDS * UINT64_C(1000000))
#define TEXTS     5
#define ID_LENGTH (RANDOM_UUID_SIZE - 1)
#define TEXT_SIZE 768 /* of all texts of one entry; who has longer ones is not kept */

struct entry {
    char id[ID_LENGTH + 1];
    uint64_t version;
    uint64_t read_at; /* monotonic nanoseconds */
    struct account account;
    struct account_session session;
    size_t text_length;
    char texts[];
};

struct session_cache {
    struct storage *storage;
    struct siphash_key key;
    pthread_mutex_t locks[LOCKS]; /* place p is guarded by p % LOCKS */
    struct entry *places[SESSION_CACHE_SIZE];
};

enum status session_cache_create(struct session_cache **out, struct storage *storage)
{
    struct session_cache *cache = memory_allocate(sizeof(*cache));
    *out = cache;
    if (cache == NULL) {
        return STATUS_NO_MEMORY;
    }
    cache->storage = storage;
    random_bytes(&cache->key, sizeof(cache->key));
    for (size_t i = 0; i < LOCKS; i++) {
        pthread_mutex_init(&cache->locks[i], NULL);
    }
    return STATUS_OK;
}

void session_cache_release(struct session_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (size_t i = 0; i < SESSION_CACHE_SIZE; i++) {
        memory_release(cache->places[i]);
    }
    for (size_t i = 0; i < LOCKS; i++) {
        pthread_mutex_destroy(&cache->locks[i]);
    }
    memory_release(cache);
}

/* Both: a session dies with its owner's rights. 0 when nobody knows. */
static uint64_t present_version(const struct session_cache *cache)
{
    uint64_t accounts = storage_version(cache->storage, "accounts");
    uint64_t sessions = storage_version(cache->storage, "sessions");
    return accounts == 0 || sessions == 0 ? 0 : accounts + sessions;
}

/* The texts of an account, all of which may be NULL. */
static void list_texts(struct account *account, const char **texts[TEXTS])
{
    texts[0] = &account->id;
    texts[1] = &account->email;
    texts[2] = &account->username;
    texts[3] = &account->name;
    texts[4] = &account->company_id;
}

/* --- Keeping ------------------------------------------------------------------------------ */

static size_t size_of_texts(struct account account)
{
    const char **texts[TEXTS];
    size_t size = 0;
    list_texts(&account, texts);
    for (size_t i = 0; i < TEXTS; i++) {
        size += *texts[i] == NULL ? 0 : strlen(*texts[i]) + 1;
    }
    return size;
}

/* NULL when it is not worth keeping, or there is no memory for it: it will be read again. */
static struct entry *make_entry(const char *id, uint64_t version, uint64_t now,
                                const struct account *account,
                                const struct account_session *session)
{
    size_t length = size_of_texts(*account);
    struct entry *entry = length > TEXT_SIZE ? NULL : memory_allocate(sizeof(*entry) + length);
    if (entry == NULL) {
        return NULL;
    }
    memcpy(entry->id, id, ID_LENGTH);
    entry->version = version;
    entry->read_at = now;
    entry->account = *account;
    entry->session = *session;
    entry->text_length = length;
    const char **texts[TEXTS];
    list_texts(&entry->account, texts);
    char *end = entry->texts;
    for (size_t i = 0; i < TEXTS; i++) {
        if (*texts[i] != NULL) {
            size_t size = strlen(*texts[i]) + 1;
            memcpy(end, *texts[i], size);
            *texts[i] = end;
            end += size;
        }
    }
    return entry;
}

/* --- Finding ------------------------------------------------------------------------------ */

static enum status copy_entry(const struct entry *entry, struct arena *arena,
                              struct account *account, struct account_session *session)
{
    const char *copy = arena_copy(arena, entry->texts, entry->text_length);
    if (copy == NULL) {
        return STATUS_NO_MEMORY;
    }
    *account = entry->account;
    *session = entry->session;
    const char **texts[TEXTS];
    list_texts(account, texts);
    for (size_t i = 0; i < TEXTS; i++) {
        if (*texts[i] != NULL) {
            *texts[i] = copy + (*texts[i] - entry->texts);
        }
    }
    return STATUS_OK;
}

enum status session_cache_find(struct session_cache *cache, struct arena *arena, const char *id,
                               struct account *account, struct account_session *session)
{
    uint64_t version = present_version(cache);
    size_t length = strnlen(id, ID_LENGTH + 1);
    if (version == 0 || length != ID_LENGTH) {
        return account_find_by_session(cache->storage, arena, id, account, session);
    }
    size_t place = siphash_compute(&cache->key, id, length).words[0] % SESSION_CACHE_SIZE;
    pthread_mutex_t *lock = &cache->locks[place % LOCKS];
    uint64_t now = clock_monotonic_nanoseconds();

    pthread_mutex_lock(lock);
    const struct entry *found = cache->places[place];
    bool is_fresh = found != NULL && found->version == version && now - found->read_at < LIFE &&
                    memcmp(found->id, id, ID_LENGTH) == 0;
    enum status status = is_fresh ? copy_entry(found, arena, account, session) : STATUS_NOT_FOUND;
    pthread_mutex_unlock(lock);
    if (is_fresh) {
        return status;
    }

    status = account_find_by_session(cache->storage, arena, id, account, session);
    if (status == STATUS_OK) {
        struct entry *entry = make_entry(id, version, now, account, session);
        pthread_mutex_lock(lock);
        struct entry *old = cache->places[place];
        cache->places[place] = entry;
        pthread_mutex_unlock(lock);
        memory_release(old);
    }
    return status;
}
