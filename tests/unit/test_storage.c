/*
 * What storage promises to callers, on a real file: names, values, transactions, housekeeping.
 */
#include "items_help.h"

#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "log/log.h"

/* --- Opening ------------------------------------------------------------------------------ */

static void unknown_scheme_is_refused(void **state)
{
    (void)state;
    static const char *const urls[] = {"", "sqlite", "sqlite:", "mongodb://x", "/tmp/x.db"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct storage_options options = {.url = urls[i]};
        struct storage *storage = NULL;
        assert_int_equal(storage_open(&storage, &options), STATUS_INVALID);
        assert_null(storage);
    }
}

static void opening_alone_touches_nothing(void **state)
{
    (void)state;
    struct database database;
    database_make_directory(&database);
    struct storage *storage = open_items(&database, 0);
    assert_int_not_equal(access(database_path(&database), F_OK), 0);
    storage_close(storage);
    database_remove_directory(&database);
}

static void directory_and_files_belong_to_the_owner_alone(void **state)
{
    (void)state;
    struct database database;
    database_make_directory(&database);
    snprintf(database.url, sizeof(database.url), "sqlite:%s/new/dir/test.db", database.directory);
    mode_t old = umask(0);
    struct storage *storage = open_items(&database, 0);
    assert_int_equal(
        storage_transaction(connect_to(storage), make_schema, (void *)(uintptr_t)item_schema),
        STATUS_OK);
    umask(old);

    struct stat information;
    char path[160];
    snprintf(path, sizeof(path), "%s/new/dir", database.directory);
    assert_int_equal(stat(path, &information), 0);
    assert_int_equal(information.st_mode & 0777, 0700);
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/new/dir/test.db%s", database.directory, suffixes[i]);
        assert_int_equal(stat(path, &information), 0);
        assert_int_equal(information.st_mode & 0777, 0600);
    }
    storage_close(storage);
    database_remove_directory(&database);
}

static void special_names_of_sqlite_are_ordinary_files(void **state)
{
    (void)state;
    struct database database;
    database_make_directory(&database);
    char *here = get_current_dir_name();
    assert_int_equal(chdir(database.directory), 0);
    static const char *const names[] = {":memory:", "file:x?mode=memory", "plain.db"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(database.url, sizeof(database.url), "sqlite:%s", names[i]);
        struct storage *storage = open_items(&database, 0);
        assert_int_equal(storage_ping(storage), STATUS_OK);
        assert_int_equal(access(names[i], F_OK), 0);
        storage_close(storage);
    }
    assert_int_equal(chdir(here), 0);
    free(here);
    database_remove_directory(&database);
}

/* --- Statements --------------------------------------------------------------------------- */

static void values_come_back_as_they_were(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    struct storage_connection *connection = connect_to(storage);
    struct item item = {
        .id = INT64_MIN, .amount = -0.1, .label = "caf\xc3\xa9", .bytes = "a\0b", .length = 3};
    assert_int_equal(storage_transaction(connection, work_insert, &item), STATUS_OK);
    assert_int_equal(storage_changes(connection), 1);

    struct storage_statement *statement;
    assert_int_equal(storage_prepare(connection, "find_item", &statement), STATUS_OK);
    storage_bind_integer(statement, 1, INT64_MIN);
    assert_int_equal(storage_step(statement), STATUS_OK);
    assert_true(storage_integer(statement, 0) == INT64_MIN);
    assert_true(storage_double(statement, 1) == -0.1);
    assert_true(slice_equals(storage_text(statement, 2), "caf\xc3\xa9"));
    assert_int_equal(storage_text(statement, 2).data[5], '\0');
    assert_int_equal(storage_blob(statement, 3).length, 3);
    assert_memory_equal(storage_blob(statement, 3).data, "a\0b", 3);
    assert_int_equal(storage_step(statement), STATUS_NOT_FOUND);
    /* It does not start over by itself. */
    assert_int_equal(storage_step(statement), STATUS_NOT_FOUND);
    storage_finish(statement);
    storage_finish(statement);
    storage_finish(NULL);
}

struct nothing {
    bool with_empty_text;
};

static enum status insert_nothing(struct storage_connection *connection, void *context)
{
    struct storage_statement *statement;
    enum status status = storage_prepare(connection, "add_item", &statement);
    if (status != STATUS_OK) {
        return status;
    }
    storage_bind_integer(statement, 1, 1);
    storage_bind_null(statement, 2);
    if (((struct nothing *)context)->with_empty_text) {
        storage_bind_slice(statement, 3, (struct slice){0});
    } else {
        storage_bind_text(statement, 3, NULL);
    }
    storage_bind_blob(statement, 4, NULL, 0);
    return storage_execute(statement);
}

static void null_is_null_and_empty_is_empty(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    struct storage_connection *connection = connect_to(storage);
    struct nothing nothing = {.with_empty_text = false};
    /* label is NOT NULL: to break that is a bug of ours, not a conflict of the client's. */
    assert_int_equal(storage_transaction(connection, insert_nothing, &nothing), STATUS_INTERNAL);
    nothing.with_empty_text = true;
    assert_int_equal(storage_transaction(connection, insert_nothing, &nothing), STATUS_OK);

    struct storage_statement *statement;
    assert_int_equal(storage_prepare(connection, "find_item", &statement), STATUS_OK);
    storage_bind_integer(statement, 1, 1);
    assert_int_equal(storage_step(statement), STATUS_OK);
    assert_true(storage_is_null(statement, 1));
    assert_true(storage_double(statement, 1) == 0);
    assert_int_equal(storage_integer(statement, 1), 0);
    assert_int_equal(storage_text(statement, 1).length, 0);
    assert_string_equal(storage_text(statement, 1).data, "");
    assert_false(storage_is_null(statement, 2));
    assert_int_equal(storage_text(statement, 2).length, 0);
    assert_false(storage_is_null(statement, 3));
    assert_int_equal(storage_blob(statement, 3).length, 0);

    struct arena arena;
    arena_init(&arena, 64);
    assert_null(storage_copy_text(statement, 1, &arena));
    assert_string_equal(storage_copy_text(statement, 2, &arena), "");
    assert_int_equal(storage_status(statement), STATUS_OK);
    arena_destroy(&arena);
    storage_finish(statement);
}

static void a_spent_arena_sticks(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    struct storage_connection *connection = connect_to(storage);
    assert_int_equal(add_item(storage, 1), STATUS_OK);
    struct storage_statement *statement;
    assert_int_equal(storage_prepare(connection, "find_item", &statement), STATUS_OK);
    storage_bind_integer(statement, 1, 1);
    assert_int_equal(storage_step(statement), STATUS_OK);
    struct arena arena;
    arena_init(&arena, 2);
    assert_null(storage_copy_text(statement, 2, &arena));
    assert_int_equal(storage_status(statement), STATUS_NO_MEMORY);
    assert_int_equal(storage_step(statement), STATUS_NO_MEMORY);
    arena_destroy(&arena);
    storage_finish(statement);
}

static void bindings_are_forgotten_at_finish(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    struct storage_connection *connection = connect_to(storage);
    assert_int_equal(add_item(storage, 1), STATUS_OK);
    struct storage_statement *statement;
    assert_int_equal(storage_prepare(connection, "find_item", &statement), STATUS_OK);
    storage_bind_integer(statement, 1, 1);
    assert_int_equal(storage_step(statement), STATUS_OK);
    storage_finish(statement);
    assert_int_equal(storage_prepare(connection, "find_item", &statement), STATUS_OK);
    assert_int_equal(storage_step(statement), STATUS_NOT_FOUND);
    storage_finish(statement);
}

static void misuse_of_statements_is_internal(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    struct storage_connection *connection = connect_to(storage);
    struct storage_statement *statement;
    assert_int_equal(storage_prepare(connection, "no_such_name", &statement), STATUS_INTERNAL);
    assert_null(statement);
    /* outside of a transaction */
    assert_int_equal(storage_prepare(connection, "set_item", &statement), STATUS_INTERNAL);
    assert_null(statement);
    /* twice at a time */
    struct storage_statement *first;
    assert_int_equal(storage_prepare(connection, "list_items", &first), STATUS_OK);
    assert_int_equal(storage_prepare(connection, "list_items", &statement), STATUS_INTERNAL);
    storage_finish(first);
    /* a parameter that is not there sticks */
    assert_int_equal(storage_prepare(connection, "find_item", &statement), STATUS_OK);
    storage_bind_integer(statement, 2, 1);
    storage_bind_integer(statement, 1, 1);
    assert_int_equal(storage_step(statement), STATUS_INTERNAL);
    assert_int_equal(storage_status(statement), STATUS_INTERNAL);
    storage_finish(statement);
    /* and is gone with the next use */
    assert_int_equal(storage_prepare(connection, "find_item", &statement), STATUS_OK);
    storage_bind_integer(statement, 1, 1);
    assert_int_equal(storage_step(statement), STATUS_NOT_FOUND);
    storage_finish(statement);
}

static void a_missing_table_is_an_outage(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    struct storage_statement *statement;
    assert_int_equal(storage_prepare(connect_to(storage), "missing_table", &statement),
                     STATUS_UNAVAILABLE);
}

struct observed {
    char names[256];
    uint64_t nanoseconds;
};

static void observe(void *context, const char *statement, uint64_t nanoseconds)
{
    struct observed *observed = context;
    size_t length = strlen(observed->names);
    snprintf(observed->names + length, sizeof(observed->names) - length, "%s ", statement);
    observed->nanoseconds += nanoseconds;
}

static void each_statement_is_observed_once(void **state)
{
    struct database *database = *state;
    struct observed observed = {0};
    struct storage_options options = {
        .url = database->url, .observer = observe, .observer_context = &observed};
    struct storage *storage;
    assert_int_equal(storage_open_dialect(&storage, &options, &item_dialect), STATUS_OK);
    assert_int_equal(storage_ping(storage), STATUS_OK);
    assert_int_equal(add_item(storage, 1), STATUS_OK);
    assert_int_equal(count_items(storage), 1);
    assert_string_equal(observed.names, "storage_ping add_item count_items ");
    assert_true(observed.nanoseconds > 0);
    storage_close(storage);
}

/* --- Transactions ------------------------------------------------------------------------- */

static void a_conflict_is_a_conflict(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    assert_int_equal(add_item(storage, 1), STATUS_OK);
    assert_int_equal(add_item(storage, 1), STATUS_CONFLICT);
    struct item item = {.id = 2, .label = "item 1"};
    assert_int_equal(storage_transaction(connect_to(storage), work_insert, &item), STATUS_CONFLICT);
    assert_int_equal(count_items(storage), 1);
}

static enum status insert_orphan(struct storage_connection *connection, void *context)
{
    (void)context;
    struct storage_statement *statement;
    enum status status = storage_prepare(connection, "add_child", &statement);
    if (status != STATUS_OK) {
        return status;
    }
    storage_bind_integer(statement, 1, 1);
    storage_bind_integer(statement, 2, 99);
    return storage_execute(statement);
}

static void a_foreign_key_is_enforced(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    assert_int_equal(storage_transaction(connect_to(storage), insert_orphan, NULL),
                     STATUS_CONFLICT);
}

static enum status insert_and_fail(struct storage_connection *connection, void *context)
{
    (void)context;
    enum status status = insert_item(connection, &(struct item){.id = 5, .label = "five"});
    if (status != STATUS_OK) {
        return status;
    }
    struct storage_statement *statement;
    status = storage_prepare(connection, "list_items", &statement);
    if (status == STATUS_OK) {
        status = storage_step(statement);
    }
    /* The statement stays open, as after an early return. */
    return status == STATUS_OK ? STATUS_DENIED : status;
}

static void failure_of_the_function_rolls_back_and_cleans_up(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    struct storage_connection *connection = connect_to(storage);
    assert_int_equal(storage_transaction(connection, insert_and_fail, NULL), STATUS_DENIED);
    assert_int_equal(count_items(storage), 0);
    assert_int_equal(add_item(storage, 5), STATUS_OK);
}

static enum status lose_the_first_race(struct storage_connection *connection, void *context)
{
    int *runs = context;
    struct item item = {.id = ++*runs, .label = "lost and won"};
    enum status status = insert_item(connection, &item);
    /* What a driver says when the database asks for another try. */
    connection->must_retry = *runs == 1;
    return status;
}

static void a_lost_race_runs_the_function_again(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    int runs = 0;
    assert_int_equal(storage_transaction(connect_to(storage), lose_the_first_race, &runs),
                     STATUS_OK);
    assert_int_equal(runs, 2);
    assert_int_equal(count_items(storage), 1);
}

static enum status nest(struct storage_connection *connection, void *context)
{
    struct item item = {.id = 1, .label = "inner"};
    *(enum status *)context = storage_transaction(connection, work_insert, &item);
    return STATUS_OK;
}

static void nested_transactions_are_refused(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    enum status inner = STATUS_OK;
    assert_int_equal(storage_transaction(connect_to(storage), nest, &inner), STATUS_OK);
    assert_int_equal(inner, STATUS_INTERNAL);
    assert_int_equal(count_items(storage), 0);
}

static void a_forgotten_statement_refuses_the_transaction(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    struct storage_connection *connection = connect_to(storage);
    struct storage_statement *statement;
    assert_int_equal(storage_prepare(connection, "list_items", &statement), STATUS_OK);
    assert_int_equal(add_item(storage, 1), STATUS_INTERNAL);
    storage_finish(statement);
    assert_int_equal(add_item(storage, 1), STATUS_OK);
}

/* --- The rest ----------------------------------------------------------------------------- */

static off_t size_of_log(const struct database *database)
{
    char path[160];
    snprintf(path, sizeof(path), "%s-wal", database_path(database));
    struct stat information;
    assert_int_equal(stat(path, &information), 0);
    return information.st_size;
}

static void maintenance_cuts_a_grown_log(void **state)
{
    struct database *database = *state;
    struct storage_connection *connection = connect_to(database->storage);
    size_t length = STORAGE_LOG_SIZE_MAXIMUM + 1;
    char *bytes = calloc(1, length);
    assert_non_null(bytes);
    struct item huge = {.id = 1, .label = "huge", .bytes = bytes, .length = length};
    assert_int_equal(storage_transaction(connection, work_insert, &huge), STATUS_OK);
    free(bytes);
    assert_true(size_of_log(database) > STORAGE_LOG_SIZE_MAXIMUM);
    assert_int_equal(storage_maintain(database->storage), STATUS_OK);
    assert_int_equal(size_of_log(database), 0);
    assert_int_equal(count_items(database->storage), 1);
}

/* Whichever allocation fails, the answer is STATUS_NO_MEMORY and nothing leaks or stays stuck. */
static void each_failing_allocation_is_survived(void **state)
{
    struct database *database = *state;
    bool is_through = false;
    for (unsigned long n = 1; n < 1000 && !is_through; n++) {
        struct storage_options options = {.url = database->url};
        struct storage *storage = NULL;
        memory_fail_after(n);
        enum status status = storage_open_dialect(&storage, &options, &item_dialect);
        if (status == STATUS_OK) {
            status = add_item(storage, (int64_t)n);
        }
        is_through = memory_failures_seen() == 0;
        memory_fail_after(0);
        assert_int_equal(status, is_through ? STATUS_OK : STATUS_NO_MEMORY);
        if (storage != NULL) {
            assert_int_equal(storage_ping(storage), STATUS_OK);
        }
        storage_close(storage);
    }
    assert_true(is_through);
}

/* Each statement's name at DEBUG, if that is asked for, and never a value. */
static void statements_are_echoed_by_name(void **state)
{
    struct database *database = *state;
    char log[100];
    struct buffer text;
    buffer_init(&text, 1 << 20);
    snprintf(log, sizeof(log), "%s/log", database->directory);
    static const struct {
        bool echo;
        enum log_level level;
        bool is_told;
    } cases[] = {{false, LOG_DEBUG, false}, {true, LOG_INFO, false}, {true, LOG_DEBUG, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct storage_options options = {.url = database->url, .echo = cases[i].echo};
        struct storage *storage;
        assert_int_equal(log_open("quintet", cases[i].level, log), STATUS_OK);
        assert_int_equal(storage_open_dialect(&storage, &options, &item_dialect), STATUS_OK);
        assert_int_equal(add_item(storage, 4711 + (int64_t)i), STATUS_OK);
        storage_close(storage);
        assert_int_equal(log_open("quintet", LOG_CRITICAL, NULL), STATUS_OK);
        buffer_reset(&text);
        assert_int_equal(file_read(log, &text), STATUS_OK);
        bool is_told = strstr(buffer_text(&text), "statement_executed") != NULL &&
                       strstr(buffer_text(&text), "add_item") != NULL;
        assert_int_equal(is_told, cases[i].is_told);
        assert_null(strstr(buffer_text(&text), "item 471"));
    }
    buffer_release(&text);
}

static enum status work_maintain(struct storage_connection *connection, void *context)
{
    (void)context;
    return storage_maintain(connection->storage);
}

static void maintenance_and_scripts_have_their_place(void **state)
{
    struct storage *storage = ((struct database *)*state)->storage;
    struct storage_connection *connection = connect_to(storage);
    struct storage_statement *statement;
    assert_int_equal(storage_transaction(connection, work_maintain, NULL), STATUS_INTERNAL);
    assert_int_equal(storage_prepare(connection, "list_items", &statement), STATUS_OK);
    assert_int_equal(storage_maintain(storage), STATUS_INTERNAL);
    storage_finish(statement);
    assert_int_equal(storage_maintain(storage), STATUS_OK);
    assert_int_equal(storage_run_script(connection, "DELETE FROM items"), STATUS_INTERNAL);
}

static void a_copy_is_whole_or_not_there(void **state)
{
    struct database *database = *state;
    static char path[5000];
    struct stat found;
    assert_int_equal(add_item(database->storage, 1), STATUS_OK);
    snprintf(path, sizeof(path), "%s/copy", database->directory);
    assert_int_equal(storage_copy(database->storage, path), STATUS_OK);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    assert_int_equal(storage_copy(database->storage, path), STATUS_CONFLICT);
    char url[120];
    snprintf(url, sizeof(url), "sqlite:%s/copy", database->directory);
    struct storage_options options = {.url = url};
    struct storage *copy;
    assert_int_equal(storage_open_dialect(&copy, &options, &item_dialect), STATUS_OK);
    assert_int_equal(count_items(copy), 1);
    storage_close(copy);
    snprintf(path, sizeof(path), "%s/nowhere/copy", database->directory);
    assert_int_equal(storage_copy(database->storage, path), STATUS_CONFLICT);
    memset(path, 'x', sizeof(path) - 1);
    assert_int_equal(storage_copy(database->storage, path), STATUS_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_scheme_is_refused),
        cmocka_unit_test(opening_alone_touches_nothing),
        cmocka_unit_test(directory_and_files_belong_to_the_owner_alone),
        cmocka_unit_test(special_names_of_sqlite_are_ordinary_files),
        ON_OPEN(values_come_back_as_they_were),
        ON_OPEN(null_is_null_and_empty_is_empty),
        ON_OPEN(a_spent_arena_sticks),
        ON_OPEN(bindings_are_forgotten_at_finish),
        ON_OPEN(misuse_of_statements_is_internal),
        ON_OPEN(a_missing_table_is_an_outage),
        ON_OPEN(each_statement_is_observed_once),
        ON_OPEN(a_conflict_is_a_conflict),
        ON_OPEN(a_foreign_key_is_enforced),
        ON_OPEN(failure_of_the_function_rolls_back_and_cleans_up),
        ON_OPEN(a_lost_race_runs_the_function_again),
        ON_OPEN(nested_transactions_are_refused),
        ON_OPEN(a_forgotten_statement_refuses_the_transaction),
        ON_OPEN(statements_are_echoed_by_name),
        ON_OPEN(maintenance_and_scripts_have_their_place),
        ON_OPEN(a_copy_is_whole_or_not_there),
        ON_OPEN(maintenance_cuts_a_grown_log),
        ON_OPEN(each_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
