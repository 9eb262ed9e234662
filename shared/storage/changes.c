/*
 * storage/changes: numbers in shared memory that tell caches when the database has changed.
 *
 * Region: 64 counters. A subject has the one at the hash of its name; two that meet there only
 * make each other's caches read more often. Nothing has to be repaired when a process dies: a
 * counter that was raised for nothing does no harm.
 */
#include <stdatomic.h>

#include "storage/driver.h"

#define VERSIONS 64 /* the bits of storage_connection.changed; a power of two, see place_of */

const struct segment_region storage_segment_region = {
    .name = "storage",
    .size = VERSIONS * sizeof(uint64_t),
    .schema = 1,
};

/* The upper bits of a product with 2^32 divided by the golden ratio (Knuth, volume 3, 6.4): FNV's
 * own lower bits let three of our eight subjects meet. */
static size_t place_of(const char *subject)
{
    return (text_hash(subject) * UINT32_C(0x9e3779b1)) >> 26;
}

void storage_note_change(struct storage_connection *connection,
                         const struct storage_statement *statement)
{
    connection->changed |=
        statement == NULL ? UINT64_MAX : UINT64_C(1) << place_of(statement->sql->subject);
}

void storage_announce_changes(struct storage_connection *connection)
{
    _Atomic uint64_t *versions = connection->storage->versions;
    for (size_t i = 0; versions != NULL && i < VERSIONS; i++) {
        if ((connection->changed >> i & 1) != 0) {
            atomic_fetch_add(&versions[i], 1);
        }
    }
}

uint64_t storage_version(const struct storage *storage, const char *subject)
{
    if (storage->versions == NULL || !storage->driver->is_local) {
        return 0;
    }
    return atomic_load(&storage->versions[place_of(subject)]) + 1;
}
