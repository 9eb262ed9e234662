/*
 * stores/rows: see the header.
 */
#include "stores/rows.h"

#include <string.h>

#define LIST_FIRST_CAPACITY 16

enum status rows_prepare_values(struct storage_connection *connection, const char *name,
                                struct storage_statement **statement,
                                const struct row_value *values, size_t count)
{
    enum status status = storage_prepare(connection, name, statement);
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        int position = (int)i + 1;
        switch (values[i].kind) {
        case ROW_VALUE_TEXT:
            storage_bind_text(*statement, position, values[i].bytes);
            break;
        case ROW_VALUE_INTEGER:
            storage_bind_integer(*statement, position, values[i].integer);
            break;
        case ROW_VALUE_BLOB:
            storage_bind_blob(*statement, position, values[i].bytes, values[i].length);
            break;
        }
    }
    return STATUS_OK;
}

enum status rows_execute_values(struct storage_connection *connection, const char *name,
                                int64_t *changes, const struct row_value *values, size_t count)
{
    struct storage_statement *statement;
    enum status status = rows_prepare_values(connection, name, &statement, values, count);
    if (status == STATUS_OK) {
        status = storage_execute(statement);
    }
    if (changes != NULL) {
        *changes = status == STATUS_OK ? storage_changes(connection) : 0;
    }
    return status;
}

enum status rows_find_values(struct storage *storage, const char *name,
                             struct storage_statement **statement, const struct row_value *values,
                             size_t count)
{
    struct storage_connection *connection;
    *statement = NULL;
    enum status status = storage_connect(storage, &connection);
    if (status == STATUS_OK) {
        status = rows_prepare_values(connection, name, statement, values, count);
    }
    return status == STATUS_OK ? storage_step(*statement) : status;
}

enum status rows_transaction(struct storage *storage, storage_work *work, void *context)
{
    struct storage_connection *connection;
    enum status status = storage_connect(storage, &connection);
    return status == STATUS_OK ? storage_transaction(connection, work, context) : status;
}

struct change {
    const char *name;
    const struct row_value *values;
    size_t count;
    int64_t *changes;
};

static enum status work_change(struct storage_connection *connection, void *context)
{
    const struct change *change = context;
    return rows_execute_values(connection, change->name, change->changes, change->values,
                               change->count);
}

enum status rows_change_values(struct storage *storage, const char *name, int64_t *changes,
                               const struct row_value *values, size_t count)
{
    struct change change = {.name = name, .values = values, .count = count, .changes = changes};
    enum status status = rows_transaction(storage, work_change, &change);
    if (status != STATUS_OK && changes != NULL) {
        *changes = 0; /* rows counted before the failure were rolled back */
    }
    return status;
}

enum status rows_sweep_values(struct storage *storage, const char *name, int64_t *changes,
                              const struct row_value *values, size_t count)
{
    int64_t batch;
    enum status status;
    do {
        status = rows_change_values(storage, name, &batch, values, count);
        *changes += batch;
    } while (status == STATUS_OK && batch == ROWS_SWEEP_BATCH);
    return status;
}

struct list {
    char *items;
    size_t count;
    size_t capacity;
};

static char *add_item(struct list *list, size_t item_size, struct arena *arena)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? LIST_FIRST_CAPACITY : 2 * list->capacity;
        char *items = arena_allocate(arena, capacity * item_size);
        if (items == NULL) {
            return NULL;
        }
        if (list->count > 0) {
            memcpy(items, list->items, list->count * item_size);
        }
        list->items = items;
        list->capacity = capacity;
    }
    return list->items + item_size * list->count++;
}

enum status rows_list_values(struct storage *storage, const char *name, struct arena *arena,
                             rows_read *read, size_t item_size, void **items, size_t *item_count,
                             const struct row_value *values, size_t count)
{
    struct list list = {0};
    struct storage_statement *statement;
    enum status status = rows_find_values(storage, name, &statement, values, count);
    while (status == STATUS_OK) {
        char *item = add_item(&list, item_size, arena);
        status = item == NULL ? STATUS_NO_MEMORY : read(statement, arena, item);
        if (status == STATUS_OK) {
            status = storage_step(statement);
        }
    }
    storage_finish(statement);
    if (status != STATUS_NOT_FOUND) {
        *items = NULL;
        *item_count = 0;
        return status;
    }
    *items = list.items;
    *item_count = list.count;
    return STATUS_OK;
}
