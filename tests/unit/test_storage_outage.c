/*
 * What a full, damaged, vanished or unwritable database looks like to callers: an outage, which
 * ends when its cause does.
 */
#include "items_help.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/file.h"
#include "log/log.h"

/* --- A database that does not work -------------------------------------------------------- */

static void a_full_database_is_an_outage_until_there_is_room(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    struct storage_connection *connection = connect_to(storage);
    struct storage_statement *statement;
    assert_int_equal(storage_prepare(connection, "limit_pages", &statement), STATUS_OK);
    assert_int_equal(storage_execute(statement), STATUS_OK);

    static char bytes[200 * 1024];
    struct item large = {.id = 1, .label = "large", .bytes = bytes, .length = sizeof(bytes)};
    assert_int_equal(storage_transaction(connection, work_insert, &large), STATUS_OK);
    large.id = 2;
    large.label = "larger";
    assert_int_equal(storage_transaction(connection, work_insert, &large), STATUS_UNAVAILABLE);
    /* What fits still works, on the same connection. */
    assert_int_equal(add_item(storage, 3), STATUS_OK);
    assert_int_equal(count_items(storage), 2);
}

static int write_beyond_file_limit(void *context)
{
    struct database *database = context;
    signal(SIGXFSZ, SIG_IGN);
    struct storage *storage = open_items(database, 0);
    if (add_item(storage, 1) != STATUS_OK) {
        return 1;
    }
    struct rlimit limit = {.rlim_cur = 64 * 1024, .rlim_max = RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
    static char bytes[200 * 1024];
    struct item large = {.id = 2, .label = "large", .bytes = bytes, .length = sizeof(bytes)};
    struct storage_connection *connection;
    if (storage_connect(storage, &connection) != STATUS_OK ||
        storage_transaction(connection, work_insert, &large) != STATUS_UNAVAILABLE) {
        return 2;
    }
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (add_item(storage, 3) != STATUS_OK) {
        return 3;
    }
    storage_close(storage);
    return 0;
}

static void a_failing_write_is_an_outage_until_it_works_again(void **state)
{
    struct database *database = *state;
    assert_int_equal(child_wait(child_start(write_beyond_file_limit, database)), 0);
    database->storage = open_items(database, 0);
    assert_int_equal(count_items(database->storage), 2);
    assert_integrity(database->storage);
}

static void overwrite(const char *path, off_t from, size_t length)
{
    char garbage[8192];
    memset(garbage, 0x5a, sizeof(garbage));
    int descriptor = open(path, O_WRONLY);
    assert_true(descriptor >= 0);
    assert_true(length <= sizeof(garbage));
    assert_int_equal(pwrite(descriptor, garbage, length, from), (ssize_t)length);
    close(descriptor);
}

static int count_lines(const char *path)
{
    struct buffer text;
    buffer_init(&text, 1 << 20);
    assert_int_equal(file_read(path, &text), STATUS_OK);
    int lines = 0;
    for (size_t i = 0; i < text.length; i++) {
        lines += text.data[i] == '\n';
    }
    buffer_release(&text);
    return lines;
}

static void a_file_that_is_no_database_is_an_outage_told_once(void **state)
{
    struct database *database = *state;
    char log[100];
    snprintf(log, sizeof(log), "%s/log", database->directory);
    assert_int_equal(log_open("quintet", LOG_WARNING, log), STATUS_OK);
    overwrite(database_path(database), 0, 4096);
    database->storage = open_items(database, 0);
    struct storage_connection *connection;
    assert_int_equal(storage_connect(database->storage, &connection), STATUS_UNAVAILABLE);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(storage_ping(database->storage), STATUS_UNAVAILABLE);
    }
    assert_int_equal(count_lines(log), 1);
    /* It heals as soon as somebody has repaired it. */
    assert_int_equal(unlink(database_path(database)), 0);
    assert_int_equal(storage_ping(database->storage), STATUS_OK);
    assert_int_equal(log_open("quintet", LOG_WARNING, NULL), STATUS_OK);
}

static void a_damaged_table_is_an_outage(void **state)
{
    struct database *database = *state;
    overwrite(database_path(database), 4096, 4096);
    database->storage = open_items(database, 0);
    struct storage_statement *statement = NULL;
    enum status status = storage_prepare(connect_to(database->storage), "find_item", &statement);
    if (status == STATUS_OK) {
        storage_bind_integer(statement, 1, 1);
        status = storage_step(statement);
        storage_finish(statement);
    }
    assert_int_equal(status, STATUS_UNAVAILABLE);
}

static void a_vanished_file_is_an_outage(void **state)
{
    struct database *database = *state;
    assert_int_equal(storage_ping(database->storage), STATUS_OK);
    assert_int_equal(unlink(database_path(database)), 0);
    assert_int_equal(storage_ping(database->storage), STATUS_UNAVAILABLE);
    /* Then a new one is begun, which has no schema yet. */
    assert_int_equal(storage_ping(database->storage), STATUS_OK);
    struct storage_statement *statement;
    assert_int_equal(storage_prepare(connect_to(database->storage), "list_items", &statement),
                     STATUS_UNAVAILABLE);
}

static void run_elsewhere(struct database *database, const char *script)
{
    struct storage *other = open_items(database, 0);
    assert_int_equal(storage_transaction(connect_to(other), make_schema, (void *)(uintptr_t)script),
                     STATUS_OK);
    storage_close(other);
}

static enum status read_an_item(struct storage *storage)
{
    struct storage_statement *statement;
    enum status status = storage_prepare(connect_to(storage), "find_item", &statement);
    if (status == STATUS_OK) {
        storage_bind_integer(statement, 1, 1);
        status = storage_step(statement);
        storage_finish(statement);
    }
    return status;
}

static void a_schema_that_goes_away_under_prepared_statements_is_an_outage(void **state)
{
    struct database *database = *state;
    assert_int_equal(add_item(database->storage, 1), STATUS_OK);
    assert_int_equal(read_an_item(database->storage), STATUS_OK);
    run_elsewhere(database, "DROP TABLE children; DROP TABLE items;");
    assert_int_equal(read_an_item(database->storage), STATUS_UNAVAILABLE);
    assert_int_equal(add_item(database->storage, 2), STATUS_UNAVAILABLE);
    /* and ends when the schema is back, on the same connection */
    run_elsewhere(database, item_schema);
    assert_int_equal(read_an_item(database->storage), STATUS_NOT_FOUND);
    assert_int_equal(add_item(database->storage, 1), STATUS_OK);
    assert_int_equal(read_an_item(database->storage), STATUS_OK);
}

static void a_place_where_no_file_can_be_is_an_outage(void **state)
{
    struct database *database = *state;
    char url[200];
    snprintf(url, sizeof(url), "%s/below/a/file.db", database->url);
    struct storage_options options = {.url = url};
    struct storage *storage;
    assert_int_equal(storage_open_dialect(&storage, &options, &item_dialect), STATUS_OK);
    assert_int_equal(storage_ping(storage), STATUS_UNAVAILABLE);
    storage_close(storage);

    snprintf(url, sizeof(url), "sqlite:%s", database->directory);
    assert_int_equal(storage_open_dialect(&storage, &options, &item_dialect), STATUS_OK);
    assert_int_equal(storage_ping(storage), STATUS_UNAVAILABLE);
    storage_close(storage);
}

static enum status work_break(struct storage_connection *connection, void *context)
{
    enum status status = work_insert(connection, context);
    connection->is_broken = true; /* as the driver says after an error of the disk */
    return status != STATUS_OK ? status : STATUS_UNAVAILABLE;
}

/* It may hold the lock that every writer needs. */
static void a_connection_that_breaks_in_a_transaction_is_given_up_at_once(void **state)
{
    struct database *database = *state;
    struct storage_connection *connection = connect_to(database->storage);
    struct item item = {.id = 1, .label = "lost"};
    assert_int_equal(storage_transaction(connection, work_break, &item), STATUS_UNAVAILABLE);
    assert_null(connection->handle);
    assert_false(connection->in_transaction);
    assert_int_equal(connection->deadline, 0);
    assert_int_equal(database->storage->writers, 0);
    struct storage *other = open_items(database, 50);
    assert_int_equal(add_item(other, 2), STATUS_OK);
    storage_close(other);
    /* Its holder is told so until it connects again. */
    assert_int_equal(storage_transaction(connection, work_insert, &item), STATUS_UNAVAILABLE);
    assert_ptr_equal(connect_to(database->storage), connection);
    assert_false(connection->is_broken);
    assert_int_equal(storage_transaction(connection, work_insert, &item), STATUS_OK);
    assert_int_equal(count_items(database->storage), 2);
}

/* Statements that are still read on it go on to their end. */
static void a_broken_connection_is_opened_anew_when_nothing_uses_it(void **state)
{
    struct database *database = *state;
    struct storage_statement *statement;
    assert_int_equal(add_item(database->storage, 1), STATUS_OK);
    struct storage_connection *connection = connect_to(database->storage);
    void *handle = connection->handle;
    assert_int_equal(storage_prepare(connection, "list_items", &statement), STATUS_OK);
    connection->is_broken = true;
    assert_ptr_equal(connect_to(database->storage), connection);
    assert_ptr_equal(connection->handle, handle);
    assert_int_equal(storage_step(statement), STATUS_OK);
    storage_finish(statement);
    assert_true(connection->is_broken);
    connect_to(database->storage);
    assert_false(connection->is_broken);
    assert_null(statement->handle); /* prepared anew when it is wanted */
    assert_int_equal(count_items(database->storage), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_OPEN(a_full_database_is_an_outage_until_there_is_room),
        ON_CLOSED(a_failing_write_is_an_outage_until_it_works_again),
        ON_CLOSED(a_file_that_is_no_database_is_an_outage_told_once),
        ON_CLOSED(a_damaged_table_is_an_outage),
        ON_OPEN(a_vanished_file_is_an_outage),
        ON_OPEN(a_schema_that_goes_away_under_prepared_statements_is_an_outage),
        ON_OPEN(a_place_where_no_file_can_be_is_an_outage),
        ON_OPEN(a_connection_that_breaks_in_a_transaction_is_given_up_at_once),
        ON_OPEN(a_broken_connection_is_opened_anew_when_nothing_uses_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
