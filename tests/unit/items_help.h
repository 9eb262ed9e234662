/*
 * tests/unit/items_help: a small schema and its statements, for the tests of storage itself.
 */
#ifndef TESTS_ITEMS_HELP_H
#define TESTS_ITEMS_HELP_H

#include "database_help.h"

/* Ascending by name, as the embedded tables are. */
static const struct sql_statement item_statements[] = {
    {"add_child", "items", "INSERT INTO children (id, parent) VALUES (?1, ?2)"},
    {"add_item", "items", "INSERT INTO items (id, amount, label, bytes) VALUES (?1, ?2, ?3, ?4)"},
    {"count_items", "items", "SELECT count(*), coalesce(max(id), 0) FROM items"},
    {"find_item", "items", "SELECT id, amount, label, bytes FROM items WHERE id = ?1"},
    {"integrity", "items", "PRAGMA integrity_check"},
    {"limit_pages", "items", "PRAGMA max_page_count=64"},
    {"list_items", "items", "SELECT id FROM items ORDER BY id"},
    {"missing_table", "items", "SELECT 1 FROM nowhere"},
    {"set_item", "items", "UPDATE items SET amount = ?2 WHERE id = ?1"},
    {"storage_ping", "items", "SELECT 1 FROM sqlite_schema LIMIT 1"},
};

static const struct sql_dialect item_dialect = {
    .name = "sqlite",
    .statements = item_statements,
    .statement_count = sizeof(item_statements) / sizeof(item_statements[0]),
};

static const char item_schema[] =
    "CREATE TABLE items (id INTEGER PRIMARY KEY, amount REAL, label TEXT NOT NULL UNIQUE,"
    " bytes BLOB) STRICT;"
    "CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL"
    " REFERENCES items (id)) STRICT;";

static inline enum status make_schema(struct storage_connection *connection, void *context)
{
    return storage_run_script(connection, context);
}

static inline struct storage_connection *connect_to(struct storage *storage)
{
    struct storage_connection *connection = NULL;
    assert_int_equal(storage_connect(storage, &connection), STATUS_OK);
    return connection;
}

static inline struct storage *open_items(const struct database *database, unsigned busy_timeout)
{
    return database_open_with(database, &item_dialect, busy_timeout);
}

static inline int items_set_up(void **state)
{
    struct database *database = calloc(1, sizeof(*database));
    assert_non_null(database);
    database_make_directory(database);
    database->storage = open_items(database, 0);
    assert_int_equal(storage_transaction(connect_to(database->storage), make_schema,
                                         (void *)(uintptr_t)item_schema),
                     STATUS_OK);
    *state = database;
    return 0;
}

/* For tests that fork: the file is there, nothing is open. */
static inline int items_set_up_closed(void **state)
{
    items_set_up(state);
    struct database *database = *state;
    storage_close(database->storage);
    database->storage = NULL;
    return 0;
}

struct item {
    int64_t id;
    double amount;
    const char *label;
    const char *bytes;
    size_t length;
};

static inline enum status insert_item(struct storage_connection *connection,
                                      const struct item *item)
{
    struct storage_statement *statement;
    enum status status = storage_prepare(connection, "add_item", &statement);
    if (status != STATUS_OK) {
        return status;
    }
    storage_bind_integer(statement, 1, item->id);
    storage_bind_double(statement, 2, item->amount);
    storage_bind_text(statement, 3, item->label);
    storage_bind_blob(statement, 4, item->bytes, item->length);
    return storage_execute(statement);
}

static inline enum status work_insert(struct storage_connection *connection, void *context)
{
    return insert_item(connection, context);
}

static inline enum status add_item(struct storage *storage, int64_t id)
{
    char label[32];
    snprintf(label, sizeof(label), "item %lld", (long long)id);
    struct item item = {.id = id, .label = label};
    struct storage_connection *connection;
    enum status status = storage_connect(storage, &connection);
    return status == STATUS_OK ? storage_transaction(connection, work_insert, &item) : status;
}

static inline int64_t count_items(struct storage *storage)
{
    struct storage_statement *statement;
    assert_int_equal(storage_prepare(connect_to(storage), "count_items", &statement), STATUS_OK);
    assert_int_equal(storage_step(statement), STATUS_OK);
    int64_t count = storage_integer(statement, 0);
    storage_finish(statement);
    return count;
}

static inline void assert_integrity(struct storage *storage)
{
    struct storage_statement *statement;
    assert_int_equal(storage_prepare(connect_to(storage), "integrity", &statement), STATUS_OK);
    assert_int_equal(storage_step(statement), STATUS_OK);
    assert_true(slice_equals(storage_text(statement, 0), "ok"));
    storage_finish(statement);
}

#define ON_OPEN(test) cmocka_unit_test_setup_teardown(test, items_set_up, database_tear_down)
#define ON_CLOSED(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, items_set_up_closed, database_tear_down)

#endif
