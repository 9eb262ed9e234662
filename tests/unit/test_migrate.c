/*
 * What migrate promises: each step whole or not at all and exactly once, whoever is killed or
 * races; and a database that does not fit this program is left alone and told of.
 */
#include "database_help.h"

#include <signal.h>

#include "base/clock.h"
#include "base/memory.h"

#define MANY 40

static const struct sql_migration two[] = {
    {1, "first", "CREATE TABLE a (x INTEGER) STRICT;\nINSERT INTO a VALUES (1);\n",
     "DROP TABLE a;"},
    {2, "second", "CREATE TABLE b (x INTEGER) STRICT;\nUPDATE a SET x = x + 1;\n",
     "UPDATE a SET x = x - 1; DROP TABLE b;"},
};

static const struct sql_migration three[] = {
    {1, "first", "CREATE TABLE a (x INTEGER) STRICT;\nINSERT INTO a VALUES (1);\n",
     "DROP TABLE a;"},
    {2, "second", "CREATE TABLE b (x INTEGER) STRICT;\nUPDATE a SET x = x + 1;\n",
     "UPDATE a SET x = x - 1; DROP TABLE b;"},
    {3, "broken", "CREATE TABLE c (x INTEGER) STRICT;\nINSERT INTO nowhere VALUES (1);\n",
     "DROP TABLE c;"},
};

static const struct sql_migration edited[] = {
    {1, "first", "CREATE TABLE a (x INTEGER) STRICT;\nINSERT INTO a VALUES (2);\n",
     "DROP TABLE a;"},
    {2, "second", "CREATE TABLE b (x INTEGER) STRICT;\nUPDATE a SET x = x + 1;\n",
     "UPDATE a SET x = x - 1; DROP TABLE b;"},
};

static struct sql_migration many[MANY]; /* each adds 1 to a.x */

static struct storage *open_migrations(const struct database *database,
                                       const struct sql_migration *migrations, size_t count)
{
    /* Outlives the call because the storage keeps a pointer to it; one at a time is enough. */
    static struct sql_dialect dialect;
    dialect = sql_sqlite;
    dialect.migrations = migrations;
    dialect.migration_count = count;
    return database_open_with(database, &dialect, 30000);
}

static int set_up(void **state)
{
    struct database *database = calloc(1, sizeof(*database));
    assert_non_null(database);
    database_make_directory(database);
    *state = database;
    return 0;
}

static enum status up(struct storage *storage, char *problem, size_t size)
{
    struct buffer text;
    buffer_init(&text, 1024);
    enum status status = migrate_up(storage, &text);
    snprintf(problem, size, "%s", buffer_text(&text));
    buffer_release(&text);
    return status;
}

static enum status down(struct storage *storage, int steps)
{
    struct buffer text;
    buffer_init(&text, 1024);
    enum status status = migrate_down(storage, steps, &text);
    assert_true(status != STATUS_OK || text.length == 0);
    buffer_release(&text);
    return status;
}

static void assert_version(struct storage *storage, int version, int latest)
{
    struct migrate_status status;
    assert_int_equal(migrate_read_status(storage, &status), STATUS_OK);
    assert_int_equal(status.version, version);
    assert_int_equal(status.latest, latest);
}

struct script {
    const char *text;
};

static enum status run_script(struct storage_connection *connection, void *context)
{
    return storage_run_script(connection, ((struct script *)context)->text);
}

/* Verifying must come to the same end as migrating, with the same words. */
static void assert_verified(struct storage *storage, enum status expected, const char *problem)
{
    struct buffer text;
    buffer_init(&text, 1024);
    assert_int_equal(migrate_verify(storage, &text), expected);
    assert_string_equal(buffer_text(&text), problem);
    buffer_release(&text);
}

/* Whether this SQL runs; a way to look at a schema without a statement for it. */
static bool runs(struct storage *storage, const char *text)
{
    struct storage_connection *connection;
    assert_int_equal(storage_connect(storage, &connection), STATUS_OK);
    struct script script = {.text = text};
    return storage_transaction(connection, run_script, &script) == STATUS_OK;
}

/* A table whose CHECK refuses any other value. */
static void assert_value_of_a(struct storage *storage, int value)
{
    char text[160];
    snprintf(text, sizeof(text),
             "CREATE TABLE probe (x INTEGER CHECK (x = %d)); INSERT INTO probe SELECT x FROM a;"
             "DROP TABLE probe;",
             value);
    assert_true(runs(storage, text));
}

static void an_empty_database_is_version_0_and_stays_untouched_by_looking(void **state)
{
    struct storage *storage = open_migrations(*state, two, 2);
    assert_version(storage, 0, 2);
    assert_verified(storage, STATUS_OK, "");
    assert_false(runs(storage, "SELECT 1 FROM schema_migrations"));
    storage_close(storage);
}

static void up_applies_all_in_order_and_once(void **state)
{
    struct storage *storage = open_migrations(*state, two, 2);
    char problem[200];
    assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_OK);
    assert_string_equal(problem, "");
    assert_version(storage, 2, 2);
    assert_value_of_a(storage, 2);
    assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_OK);
    assert_value_of_a(storage, 2);
    storage_close(storage);
}

static void down_takes_back_the_newest(void **state)
{
    struct storage *storage = open_migrations(*state, two, 2);
    char problem[200];
    assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_OK);
    assert_int_equal(down(storage, 1), STATUS_OK);
    assert_version(storage, 1, 2);
    assert_value_of_a(storage, 1);
    assert_int_equal(down(storage, 99), STATUS_OK);
    assert_version(storage, 0, 2);
    assert_false(runs(storage, "SELECT 1 FROM a"));
    assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_OK);
    assert_version(storage, 2, 2);
    storage_close(storage);
}

static void a_failing_step_leaves_the_steps_before_it(void **state)
{
    struct storage *storage = open_migrations(*state, three, 3);
    char problem[200];
    assert_int_not_equal(up(storage, problem, sizeof(problem)), STATUS_OK);
    assert_non_null(strstr(problem, "migration 3 (broken) failed"));
    assert_version(storage, 2, 3);
    assert_false(runs(storage, "SELECT 1 FROM c"));
    storage_close(storage);
}

static void a_newer_database_is_refused_and_left_alone(void **state)
{
    struct storage *storage = open_migrations(*state, two, 2);
    char problem[200];
    assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_OK);
    storage_close(storage);

    storage = open_migrations(*state, two, 1);
    assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_CONFLICT);
    assert_non_null(strstr(problem, "migration 2"));
    assert_non_null(strstr(problem, "newer release"));
    assert_verified(storage, STATUS_CONFLICT, problem);
    assert_int_equal(down(storage, 1), STATUS_CONFLICT);
    assert_version(storage, 2, 1);
    assert_value_of_a(storage, 2);
    storage_close(storage);
}

static void an_edited_migration_is_refused(void **state)
{
    struct storage *storage = open_migrations(*state, two, 1);
    char problem[200];
    assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_OK);
    storage_close(storage);

    storage = open_migrations(*state, edited, 2);
    assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_CONFLICT);
    assert_non_null(strstr(problem, "migration 1 (first) was changed"));
    assert_verified(storage, STATUS_CONFLICT, problem);
    assert_version(storage, 1, 2);
    storage_close(storage);
}

static void a_gap_in_the_record_is_refused(void **state)
{
    struct storage *storage = open_migrations(*state, two, 2);
    char problem[200];
    assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_OK);
    assert_true(runs(storage, "DELETE FROM schema_migrations WHERE version = 1"));
    assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_CONFLICT);
    assert_non_null(strstr(problem, "migration 2 is recorded but 1 is not"));
    assert_verified(storage, STATUS_CONFLICT, problem);
    storage_close(storage);
}

struct listing {
    char text[200];
    int64_t newest;
};

static void list_entry(int version, const char *name, int64_t applied_at, void *context)
{
    struct listing *listing = context;
    size_t length = strlen(listing->text);
    snprintf(listing->text + length, sizeof(listing->text) - length, "%d %s %s;", version,
             name != NULL ? name : "(unknown)", applied_at == 0 ? "pending" : "applied");
    listing->newest = applied_at > listing->newest ? applied_at : listing->newest;
}

static void the_list_tells_applied_and_pending(void **state)
{
    struct storage *storage = open_migrations(*state, two, 1);
    char problem[200];
    int64_t before = clock_wall_seconds();
    assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_OK);
    storage_close(storage);
    storage = open_migrations(*state, three, 3);
    struct listing listing = {.text = ""};
    assert_int_equal(migrate_list(storage, list_entry, &listing), STATUS_OK);
    assert_string_equal(listing.text, "1 first applied;2 second pending;3 broken pending;");
    assert_in_range(listing.newest, before, clock_wall_seconds());
    storage_close(storage);
}

static void the_list_tells_what_a_newer_program_has_applied(void **state)
{
    struct storage *storage = open_migrations(*state, two, 2);
    char problem[200];
    assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_OK);
    storage_close(storage);
    storage = open_migrations(*state, two, 1);
    struct listing listing = {.text = ""};
    assert_int_equal(migrate_list(storage, list_entry, &listing), STATUS_OK);
    assert_string_equal(listing.text, "1 first applied;2 (unknown) applied;");
    storage_close(storage);
}

/* --- Races and deaths --------------------------------------------------------------------- */

struct race {
    const struct database *database;
    struct gate gate;
    int report;
};

static void prepare_many(void)
{
    static char first[] = "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);";
    static char next[] = "UPDATE a SET x = x + 1;";
    for (int i = 0; i < MANY; i++) {
        many[i] = (struct sql_migration){i + 1, "step", i == 0 ? first : next, "SELECT 1;"};
    }
}

static int migrate_many(void *context)
{
    struct race *race = context;
    gate_wait(&race->gate);
    struct storage *storage = open_migrations(race->database, many, MANY);
    char problem[200];
    enum status status = up(storage, problem, sizeof(problem));
    storage_close(storage);
    return status == STATUS_OK ? 0 : 1;
}

static void racing_processes_do_each_step_once(void **state)
{
    prepare_many();
    struct race race = {.database = *state, .gate = gate_make()};
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = child_start(migrate_many, &race);
    }
    gate_open(&race.gate);
    for (int i = 0; i < CHILDREN; i++) {
        assert_int_equal(child_wait(children[i]), 0);
    }
    struct storage *storage = open_migrations(*state, many, MANY);
    assert_version(storage, MANY, MANY);
    assert_value_of_a(storage, MANY);
    storage_close(storage);
}

static int migrate_to_and_fro(void *context)
{
    struct race *race = context;
    struct storage *storage = open_migrations(race->database, two, 2);
    char problem[200];
    for (;;) {
        if (up(storage, problem, sizeof(problem)) != STATUS_OK ||
            write(race->report, "x", 1) != 1 || down(storage, 2) != STATUS_OK) {
            return 1;
        }
    }
}

static void a_killed_migration_leaves_the_old_or_the_new_schema(void **state)
{
    for (unsigned round = 0; round < 25; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        struct race race = {.database = *state, .report = ends[1]};
        pid_t child = child_start(migrate_to_and_fro, &race);
        char byte;
        for (unsigned n = 0; n <= round; n++) {
            assert_int_equal(read(ends[0], &byte, 1), 1);
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(child_wait(child), -SIGKILL);
        close(ends[0]);
        close(ends[1]);

        struct storage *storage = open_migrations(*state, two, 2);
        struct migrate_status status;
        assert_int_equal(migrate_read_status(storage, &status), STATUS_OK);
        assert_int_equal(runs(storage, "SELECT 1 FROM a"), status.version >= 1);
        assert_int_equal(runs(storage, "SELECT 1 FROM b"), status.version >= 2);
        if (status.version >= 1) {
            assert_value_of_a(storage, status.version);
        }
        storage_close(storage);
    }
}

static void each_failing_allocation_is_survived(void **state)
{
    (void)state;
    bool is_through = false;
    for (unsigned long n = 1; n < 1000 && !is_through; n++) {
        struct database database;
        database_make_directory(&database);
        struct storage *storage = open_migrations(&database, two, 2);
        char problem[200];
        memory_fail_after(n);
        enum status status = up(storage, problem, sizeof(problem));
        is_through = memory_failures_seen() == 0;
        memory_fail_after(0);
        assert_int_equal(status, is_through ? STATUS_OK : STATUS_NO_MEMORY);
        assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_OK);
        storage_close(storage);
        database_remove_directory(&database);
    }
    assert_true(is_through);
}

static void the_products_own_schema_goes_up_and_down(void **state)
{
    struct storage *storage = database_open_with(*state, NULL, 0);
    int latest = (int)sql_sqlite.migration_count;
    assert_true(latest >= 1);
    assert_version(storage, latest, latest);
    for (int version = latest; version > 0; version--) {
        assert_int_equal(down(storage, 1), STATUS_OK);
        assert_version(storage, version - 1, latest);
    }
    char problem[200];
    assert_int_equal(up(storage, problem, sizeof(problem)), STATUS_OK);
    assert_version(storage, latest, latest);
    storage_close(storage);
}

/* Also finds any statement whose SQL does not fit the schema. */
static void every_statement_of_the_product_can_be_prepared(void **state)
{
    struct storage *storage = database_open_with(*state, NULL, 0);
    struct storage_connection *connection;
    assert_int_equal(storage_connect(storage, &connection), STATUS_OK);
    for (size_t i = 0; i < sql_sqlite.statement_count; i++) {
        connection->in_transaction = true; /* writing ones are refused outside */
        struct storage_statement *statement;
        if (storage_prepare(connection, sql_sqlite.statements[i].name, &statement) != STATUS_OK) {
            fail_msg("statement %s", sql_sqlite.statements[i].name);
        }
        storage_finish(statement);
        connection->in_transaction = false;
    }
    storage_close(storage);
}

static int tear_down(void **state)
{
    if (*state != NULL) {
        database_remove_directory(*state);
        free(*state);
    }
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_database_is_version_0_and_stays_untouched_by_looking),
        TEST(up_applies_all_in_order_and_once),
        TEST(down_takes_back_the_newest),
        TEST(a_failing_step_leaves_the_steps_before_it),
        TEST(a_newer_database_is_refused_and_left_alone),
        TEST(an_edited_migration_is_refused),
        TEST(a_gap_in_the_record_is_refused),
        TEST(the_list_tells_applied_and_pending),
        TEST(the_list_tells_what_a_newer_program_has_applied),
        TEST(racing_processes_do_each_step_once),
        TEST(a_killed_migration_leaves_the_old_or_the_new_schema),
        TEST(each_failing_allocation_is_survived),
        TEST(the_products_own_schema_goes_up_and_down),
        TEST(every_statement_of_the_product_can_be_prepared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
