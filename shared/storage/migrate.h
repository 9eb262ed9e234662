/*
 * storage/migrate: brings the schema up or down, one numbered file at a time.
 *
 * Each migration runs in its own write transaction together with the row of schema_migrations
 * that records it (version, name, applied_at, checksum of the text), so a process killed half-way
 * leaves either the old or the new schema; two processes migrating at once do each step once.
 */
#ifndef STORAGE_MIGRATE_H
#define STORAGE_MIGRATE_H

#include "storage/storage.h"

struct migrate_status {
    int version; /* highest applied; 0 = empty database */
    int latest;  /* highest known to this program */
};

enum status migrate_read_status(struct storage *storage, struct migrate_status *out) MUST_CHECK;

/* Applies all that is missing. STATUS_CONFLICT when the database is newer than this program, an
 * applied migration's text has changed, or it has tables but none of ours; `problem` (initialised)
 * tells in one line. */
enum status migrate_up(struct storage *storage, struct buffer *problem) MUST_CHECK;

/* Takes back the newest `steps` migrations. */
enum status migrate_down(struct storage *storage, int steps, struct buffer *problem) MUST_CHECK;

/* Whether what the database has applied are the first migrations of this program, unchanged.
 * STATUS_CONFLICT if not; `problem` (initialised) tells in one line. Changes nothing. */
enum status migrate_verify(struct storage *storage, struct buffer *problem) MUST_CHECK;

/* Calls `visit` for every known migration in order; applied_at is 0 for pending ones. Those that a
 * newer program has applied come last, with `name` NULL. */
enum status migrate_list(struct storage *storage,
                         void (*visit)(int version, const char *name, int64_t applied_at,
                                       void *context),
                         void *context) MUST_CHECK;

#endif
