/*
 * storage: the one interface to the database, whichever it is.
 *
 * SQL text stands in sql/<dialect>/ and is compiled in; callers name statements. A connection
 * belongs to one thread at a time; storage_connect gives each thread its own, opened lazily and
 * kept. Reads run in autocommit and must be finished (storage_finish) at once. Every write runs
 * inside storage_transaction, which begins IMMEDIATE, waits with jitter while others write, and
 * runs the function again when the database asks for that: the function must therefore have no
 * effect but on the database and its context. No network call and no password hashing inside.
 * A statement that writes outside storage_transaction is a bug: STATUS_INTERNAL.
 *
 * STATUS_UNAVAILABLE: the database does not answer, is full, was busy past the deadline, or has
 * not the schema a statement needs (503 for clients). STATUS_CONFLICT: a unique or foreign key
 * refused the write.
 *
 * Connections do not survive fork: a child of a process that had one gets STATUS_INTERNAL. Fork
 * first, open afterwards.
 */
#ifndef STORAGE_STORAGE_H
#define STORAGE_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"
#include "segment/segment.h"

/* Where the processes of a host tell each other that they have changed something. */
extern const struct segment_region storage_segment_region;

struct storage;
struct storage_connection;
struct storage_statement;

/* Called after each statement with its name and duration; for metrics. May be NULL. */
typedef void storage_observer(void *context, const char *statement, uint64_t nanoseconds);

struct storage_options {
    const char *url;                    /* "sqlite:/path/to/file" as config has settled it */
    unsigned busy_timeout_milliseconds; /* how long a write waits for its turn; 0 = 5000 */
    /* Bytes that a database in a file may have; what would exceed them is STATUS_UNAVAILABLE, and
     * removing always works. 0 = as much as there is. */
    uint64_t size_maximum;
    /* Threads of this process that may be in a write or wait for their turn; the others are refused
     * as soon as those make no progress, so that not all threads wait for one lock. 0 = any number. */
    unsigned writers_maximum;
    bool echo; /* log statement names at DEBUG (never values) */
    storage_observer *observer;
    void *observer_context;
    struct segment *segment; /* has storage_segment_region; NULL: storage_version knows nothing */
};

/* Whether this version can speak with the database of that URL. */
bool storage_has_driver(const char *url);

/* Does not connect. STATUS_INVALID: unknown scheme. Strings are copied. */
enum status storage_open(struct storage **out, const struct storage_options *options) MUST_CHECK;

/* Closes all connections; no thread may be using one. */
void storage_close(struct storage *storage);

/* "sqlite" */
const char *storage_dialect(const struct storage *storage);

/* The calling thread's connection, opened if needed. */
enum status storage_connect(struct storage *storage, struct storage_connection **out) MUST_CHECK;

/* Connects if needed and runs a trivial read; for readiness. */
enum status storage_ping(struct storage *storage) MUST_CHECK;

/* Copies the whole database as it is at one moment to a new file of mode 0600, while others go on.
 * STATUS_CONFLICT: there is something of that name. */
enum status storage_copy(struct storage *storage, const char *path) MUST_CHECK;

/* Housekeeping that one process of a host does now and then (every minute or so): cuts back a
 * write-ahead log that has grown, refreshes the planner's statistics. */
enum status storage_maintain(struct storage *storage) MUST_CHECK;

/* The named statement, reset and without bindings; prepared once per connection. An unknown name
 * is a bug: STATUS_INTERNAL. Must be followed by storage_finish before the next use. */
enum status storage_prepare(struct storage_connection *connection, const char *name,
                            struct storage_statement **out) MUST_CHECK;

/* Positions from 1, in the order of the SQL text's parameters. Texts and blobs are not copied:
 * they must live until storage_finish. NULL text binds NULL. Failures stick and are returned by
 * storage_step. */
void storage_bind_integer(struct storage_statement *statement, int position, int64_t value);
void storage_bind_double(struct storage_statement *statement, int position, double value);
void storage_bind_text(struct storage_statement *statement, int position, const char *text);
void storage_bind_slice(struct storage_statement *statement, int position, struct slice text);
void storage_bind_blob(struct storage_statement *statement, int position, const void *bytes,
                       size_t length);
void storage_bind_null(struct storage_statement *statement, int position);

/* STATUS_OK: a row is there; STATUS_NOT_FOUND: no (more) row; else an error. */
enum status storage_step(struct storage_statement *statement) MUST_CHECK;

/* Columns of the present row, from 0. Text and blob live until the next step or finish; text is
 * NUL-terminated; NULL columns give 0, "" / length 0 (storage_is_null tells). */
int64_t storage_integer(struct storage_statement *statement, int column);
double storage_double(struct storage_statement *statement, int column);
struct slice storage_text(struct storage_statement *statement, int column);
struct slice storage_blob(struct storage_statement *statement, int column);
bool storage_is_null(struct storage_statement *statement, int column);

/* A NUL-terminated copy in the arena that outlives the statement; NULL for a NULL column, or when
 * the arena is spent: that sticks and storage_status tells, so a reader of many columns may look
 * once. */
const char *storage_copy_text(struct storage_statement *statement, int column, struct arena *arena);
enum status storage_status(const struct storage_statement *statement) MUST_CHECK;

/* Ends the statement; NULL is allowed. */
void storage_finish(struct storage_statement *statement);

/* For statements without rows: step once and finish. STATUS_OK when executed. */
enum status storage_execute(struct storage_statement *statement) MUST_CHECK;

/* Rows changed by the last executed statement of this connection. */
int64_t storage_changes(struct storage_connection *connection);

/* Runs `function` in a write transaction. It commits when the function returns STATUS_OK and the
 * commit succeeds; otherwise rolls back and returns the function's status. When this returns
 * STATUS_OK, the change survives kill -9 of this process. Nested use is a bug: STATUS_INTERNAL. */
typedef enum status storage_work(struct storage_connection *connection, void *context);
enum status storage_transaction(struct storage_connection *connection, storage_work *function,
                                void *context) MUST_CHECK;

/* What the calling thread does from now on is for somebody who waits until then (monotonic
 * nanoseconds): no wait for a lock goes on beyond it. 0: nobody waits, busy_timeout_milliseconds
 * counts alone. For all storages of the process. */
void storage_set_deadline(uint64_t nanoseconds);

/* Between two transactions of a long work: sleeps for some 2 ms, so that others who wait for the
 * write lock get it. */
void storage_give_way(void);

/* For caches: a number that has become another one when storage_transaction returns in any process
 * of this host after a change to rows of `subject` (the name of a file in
 * sql/<dialect>/queries). Ask first, read afterwards: what was read is what the database says for
 * as long as the number stays. 0: nobody knows, keep nothing.
 *
 * Whoever changes the file without this interface is not noticed, nor is a process that was killed
 * between its commit and the return: give what you keep a short life as well. */
uint64_t storage_version(const struct storage *storage, const char *subject);

#endif
