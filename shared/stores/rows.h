/*
 * stores/rows: what all stores do with statements: bind a list of values, read one row, change
 * rows in a transaction of their own, collect rows in an array.
 *
 * Values are given like log fields: rows_find(storage, "account_by_id", &statement, ROW_TEXT(id)).
 */
#ifndef STORES_ROWS_H
#define STORES_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "storage/storage.h"

enum row_value_kind { ROW_VALUE_TEXT, ROW_VALUE_INTEGER, ROW_VALUE_BLOB };

struct row_value {
    enum row_value_kind kind;
    int64_t integer;
    const void *bytes; /* of a text: NULL binds NULL */
    size_t length;
};

#define ROW_TEXT(value)    ((struct row_value){.kind = ROW_VALUE_TEXT, .bytes = (value)})
#define ROW_INTEGER(value) ((struct row_value){.kind = ROW_VALUE_INTEGER, .integer = (value)})
#define ROW_BLOB(data, size)                                                                       \
    ((struct row_value){.kind = ROW_VALUE_BLOB, .bytes = (data), .length = (size)})

#define ROW_VALUES(...)                                                                            \
    (struct row_value[]){__VA_ARGS__},                                                             \
        sizeof((struct row_value[]){__VA_ARGS__}) / sizeof(struct row_value)

/* Prepares and binds: for lists, and inside transactions. *statement is NULL on failure;
 * otherwise the caller finishes it. */
enum status rows_prepare_values(struct storage_connection *connection, const char *name,
                                struct storage_statement **statement,
                                const struct row_value *values, size_t count) MUST_CHECK;
#define rows_prepare(connection, name, statement, ...)                                             \
    rows_prepare_values((connection), (name), (statement), ROW_VALUES(__VA_ARGS__))

/* Executes inside a transaction; *changes (NULL allowed) is the number of rows changed. */
enum status rows_execute_values(struct storage_connection *connection, const char *name,
                                int64_t *changes, const struct row_value *values,
                                size_t count) MUST_CHECK;
#define rows_execute(connection, name, changes, ...)                                               \
    rows_execute_values((connection), (name), (changes), ROW_VALUES(__VA_ARGS__))

/* Connects, prepares, binds and steps. STATUS_OK: the first row is there; STATUS_NOT_FOUND: there
 * is none. The caller finishes *statement in any case (NULL is fine for storage_finish). */
enum status rows_find_values(struct storage *storage, const char *name,
                             struct storage_statement **statement, const struct row_value *values,
                             size_t count) MUST_CHECK;
#define rows_find(storage, name, statement, ...)                                                   \
    rows_find_values((storage), (name), (statement), ROW_VALUES(__VA_ARGS__))

/* One statement as a transaction of its own. *changes (NULL: not wanted) is the number of rows that
 * were changed, 0 on failure. */
enum status rows_change_values(struct storage *storage, const char *name, int64_t *changes,
                               const struct row_value *values, size_t count) MUST_CHECK;
#define rows_change(storage, name, changes, ...)                                                   \
    rows_change_values((storage), (name), (changes), ROW_VALUES(__VA_ARGS__))

/* Removes in batches, so that nobody waits long for the write lock: executes `name`, whose last
 * value is ROWS_SWEEP_BATCH, again and again until it changes fewer rows than that. *changes is added
 * to. */
#define ROWS_SWEEP_BATCH 500
enum status rows_sweep_values(struct storage *storage, const char *name, int64_t *changes,
                              const struct row_value *values, size_t count) MUST_CHECK;
#define rows_sweep(storage, name, changes, ...)                                                    \
    rows_sweep_values((storage), (name), (changes), ROW_VALUES(__VA_ARGS__))

/* Connects and runs storage_transaction. */
enum status rows_transaction(struct storage *storage, storage_work *work, void *context) MUST_CHECK;

/* Collects every row: calls `read` with a zeroed item of `item_size` bytes for each. *items is an
 * array in the arena (NULL when there is no row). */
typedef enum status rows_read(struct storage_statement *statement, struct arena *arena, void *item);
enum status rows_list_values(struct storage *storage, const char *name, struct arena *arena,
                             rows_read *read, size_t item_size, void **items, size_t *item_count,
                             const struct row_value *values, size_t count) MUST_CHECK;
#define rows_list(storage, name, arena, read, item_size, items, item_count, ...)                   \
    rows_list_values((storage), (name), (arena), (read), (item_size), (items), (item_count),       \
                     ROW_VALUES(__VA_ARGS__))

#endif
