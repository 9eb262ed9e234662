/*
 * storage/statement: named statements from storage_prepare to storage_finish.
 *
 * Each connection holds one statement for each of the dialect's; a name is found by its hash in a
 * table that the storage made when it was opened (some 20 ns), so nothing is prepared twice.
 */
#include <string.h>

#include "base/clock.h"
#include "log/log.h"
#include "storage/driver.h"

static const struct storage_driver *driver_of(const struct storage_statement *statement)
{
    return statement->connection->storage->driver;
}

static struct storage_statement *find_statement(struct storage_connection *connection,
                                                const char *name)
{
    const struct storage *storage = connection->storage;
    size_t place = text_hash(name) & storage->names_mask;
    while (storage->names[place] != 0) {
        struct storage_statement *statement = &connection->statements[storage->names[place] - 1];
        if (strcmp(statement->sql->name, name) == 0) {
            return statement;
        }
        place = (place + 1) & storage->names_mask;
    }
    return NULL;
}

static enum status misused(const char *name, const char *error)
{
    log_write(LOG_CRITICAL, "statement_misused", LOG_TEXT("statement", name),
              LOG_TEXT("error", error));
    return STATUS_INTERNAL;
}

enum status storage_prepare(struct storage_connection *connection, const char *name,
                            struct storage_statement **out)
{
    *out = NULL;
    struct storage_statement *statement = find_statement(connection, name);
    if (statement == NULL) {
        return misused(name, "unknown name");
    }
    if (statement->is_open) {
        return misused(name, "still in use");
    }
    statement->status = STATUS_OK;
    if (statement->handle == NULL) {
        enum status status = driver_of(statement)->prepare(statement);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (statement->writes && !connection->in_transaction) {
        return misused(name, "writes outside a transaction");
    }
    if (statement->writes) {
        storage_note_change(connection, statement);
    }
    const struct storage *storage = connection->storage;
    if (storage->observer != NULL || storage->echo) {
        statement->started = clock_monotonic_nanoseconds();
    }
    statement->is_open = true;
    statement->is_done = false;
    connection->open_statements++;
    *out = statement;
    return STATUS_OK;
}

static void keep_failure(struct storage_statement *statement, enum status status)
{
    if (statement->status == STATUS_OK) {
        statement->status = status;
    }
}

void storage_bind_integer(struct storage_statement *statement, int position, int64_t value)
{
    keep_failure(statement, driver_of(statement)->bind_integer(statement, position, value));
}

void storage_bind_double(struct storage_statement *statement, int position, double value)
{
    keep_failure(statement, driver_of(statement)->bind_double(statement, position, value));
}

void storage_bind_text(struct storage_statement *statement, int position, const char *text)
{
    if (text == NULL) {
        storage_bind_null(statement, position);
    } else {
        storage_bind_slice(statement, position, slice_of(text));
    }
}

void storage_bind_slice(struct storage_statement *statement, int position, struct slice text)
{
    keep_failure(statement, driver_of(statement)->bind_text(statement, position, text));
}

void storage_bind_blob(struct storage_statement *statement, int position, const void *bytes,
                       size_t length)
{
    struct slice slice = {.data = bytes, .length = length};
    keep_failure(statement, driver_of(statement)->bind_blob(statement, position, slice));
}

void storage_bind_null(struct storage_statement *statement, int position)
{
    keep_failure(statement, driver_of(statement)->bind_null(statement, position));
}

enum status storage_step(struct storage_statement *statement)
{
    if (statement->status != STATUS_OK) {
        return statement->status;
    }
    if (statement->is_done) {
        return STATUS_NOT_FOUND;
    }
    enum status status = driver_of(statement)->step(statement);
    if (status == STATUS_NOT_FOUND) {
        statement->is_done = true;
    } else {
        keep_failure(statement, status);
    }
    return status;
}

int64_t storage_integer(struct storage_statement *statement, int column)
{
    return driver_of(statement)->integer(statement, column);
}

double storage_double(struct storage_statement *statement, int column)
{
    return driver_of(statement)->number(statement, column);
}

struct slice storage_text(struct storage_statement *statement, int column)
{
    return driver_of(statement)->text(statement, column);
}

struct slice storage_blob(struct storage_statement *statement, int column)
{
    return driver_of(statement)->blob(statement, column);
}

bool storage_is_null(struct storage_statement *statement, int column)
{
    return driver_of(statement)->is_null(statement, column);
}

const char *storage_copy_text(struct storage_statement *statement, int column, struct arena *arena)
{
    if (storage_is_null(statement, column)) {
        return NULL;
    }
    struct slice text = storage_text(statement, column);
    const char *copy = arena_copy(arena, text.data, text.length);
    if (copy == NULL) {
        keep_failure(statement, STATUS_NO_MEMORY);
    }
    return copy;
}

enum status storage_status(const struct storage_statement *statement)
{
    return statement->status;
}

void storage_finish(struct storage_statement *statement)
{
    if (statement == NULL || !statement->is_open) {
        return;
    }
    struct storage_connection *connection = statement->connection;
    const struct storage *storage = connection->storage;
    storage->driver->reset(statement);
    statement->is_open = false;
    connection->open_statements--;
    if (storage->observer == NULL && !storage->echo) {
        return;
    }
    uint64_t nanoseconds = clock_monotonic_nanoseconds() - statement->started;
    if (storage->observer != NULL) {
        storage->observer(storage->observer_context, statement->sql->name, nanoseconds);
    }
    if (storage->echo && log_enabled(LOG_DEBUG)) {
        log_write(LOG_DEBUG, "statement_executed", LOG_TEXT("statement", statement->sql->name),
                  LOG_INTEGER("microseconds", (int64_t)(nanoseconds / 1000)));
    }
}

enum status storage_execute(struct storage_statement *statement)
{
    enum status status = storage_step(statement);
    storage_finish(statement);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

int64_t storage_changes(struct storage_connection *connection)
{
    return connection->storage->driver->changes(connection);
}
