/*
 * Threads and processes at one database: exact counts, bounded waiting, and what was acknowledged
 * survives kill -9.
 */
#include "items_help.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>

#include "base/clock.h"
#include "base/random.h"

/* --- Threads and processes ---------------------------------------------------------------- */

static int open_descriptors(const char *path)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char link[300];
        char target[300];
        snprintf(link, sizeof(link), "/proc/self/fd/%s", entry->d_name);
        ssize_t length = readlink(link, target, sizeof(target) - 1);
        if (length > 0) {
            target[length] = '\0';
            count += strcmp(target, path) == 0;
        }
    }
    closedir(directory);
    return count;
}

static void *ping_in_thread(void *context)
{
    struct database *database = context;
    struct storage_connection *first = NULL;
    struct storage_connection *second = NULL;
    bool ok = storage_connect(database->storage, &first) == STATUS_OK &&
              storage_connect(database->storage, &second) == STATUS_OK && first == second &&
              storage_ping(database->storage) == STATUS_OK &&
              open_descriptors(database_path(database)) == 2;
    return ok ? first : NULL;
}

static void a_thread_has_one_connection_which_ends_with_it(void **state)
{
    struct database *database = *state;
    struct storage_connection *mine = connect_to(database->storage);
    assert_int_equal(open_descriptors(database_path(database)), 1);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        void *theirs = NULL;
        assert_int_equal(pthread_create(&thread, NULL, ping_in_thread, database), 0);
        assert_int_equal(pthread_join(thread, &theirs), 0);
        assert_non_null(theirs);
        assert_ptr_not_equal(theirs, mine);
    }
    /* SQLite may keep one descriptor for the next connection instead of closing it. */
    assert_in_range(open_descriptors(database_path(database)), 1, 2);
}

static int use_after_fork(void *context)
{
    struct database *database = context;
    struct storage_connection *connection;
    int result = storage_connect(database->storage, &connection) == STATUS_INTERNAL ? 0 : 1;
    storage_close(database->storage);
    return result;
}

static void a_connection_does_not_cross_a_fork(void **state)
{
    struct database *database = *state;
    assert_int_equal(add_item(database->storage, 1), STATUS_OK);
    assert_int_equal(child_wait(child_start(use_after_fork, database)), 0);
    assert_int_equal(add_item(database->storage, 2), STATUS_OK);
    assert_int_equal(count_items(database->storage), 2);
}

struct race {
    const struct database *database;
    struct gate gate;
    int number;
};

#define ADDITIONS 250

static enum status add_one(struct storage_connection *connection, void *context)
{
    ++*(int *)context;
    struct storage_statement *statement;
    enum status status = storage_prepare(connection, "find_item", &statement);
    if (status != STATUS_OK) {
        return status;
    }
    storage_bind_integer(statement, 1, 1);
    status = storage_step(statement);
    double amount = status == STATUS_OK ? storage_double(statement, 1) : 0;
    storage_finish(statement);
    if (status != STATUS_OK) {
        return status;
    }
    status = storage_prepare(connection, "set_item", &statement);
    if (status != STATUS_OK) {
        return status;
    }
    storage_bind_integer(statement, 1, 1);
    storage_bind_double(statement, 2, amount + 1);
    return storage_execute(statement);
}

static int add_many(void *context)
{
    struct race *race = context;
    struct storage *storage = open_items(race->database, 30000);
    gate_wait(&race->gate);
    int failures = 0;
    int runs = 0;
    for (int i = 0; i < ADDITIONS; i++) {
        struct storage_connection *connection;
        if (storage_connect(storage, &connection) != STATUS_OK ||
            storage_transaction(connection, add_one, &runs) != STATUS_OK) {
            failures++;
        }
    }
    storage_close(storage);
    /* Who writes has the lock from the beginning: nothing was ever done in vain. */
    failures += runs - ADDITIONS;
    return failures > 100 ? 100 : failures;
}

static void read_then_write_is_exact_among_processes(void **state)
{
    struct database *database = *state;
    database->storage = open_items(database, 0);
    assert_int_equal(add_item(database->storage, 1), STATUS_OK);
    storage_close(database->storage);
    database->storage = NULL;

    struct race race = {.database = database, .gate = gate_make()};
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = child_start(add_many, &race);
    }
    gate_open(&race.gate);
    for (int i = 0; i < CHILDREN; i++) {
        assert_int_equal(child_wait(children[i]), 0);
    }
    database->storage = open_items(database, 0);
    struct storage_statement *statement;
    assert_int_equal(storage_prepare(connect_to(database->storage), "find_item", &statement),
                     STATUS_OK);
    storage_bind_integer(statement, 1, 1);
    assert_int_equal(storage_step(statement), STATUS_OK);
    assert_true(storage_double(statement, 1) == CHILDREN * ADDITIONS);
    storage_finish(statement);
    assert_integrity(database->storage);
}

static int open_fresh(void *context)
{
    struct race *race = context;
    gate_wait(&race->gate);
    struct storage *storage = open_items(race->database, 0);
    int result = storage_ping(storage) == STATUS_OK ? 0 : 1;
    storage_close(storage);
    return result;
}

static void a_new_file_can_be_opened_by_many_at_once(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        struct database database;
        database_make_directory(&database);
        struct race race = {.database = &database, .gate = gate_make()};
        pid_t children[CHILDREN];
        for (int i = 0; i < CHILDREN; i++) {
            children[i] = child_start(open_fresh, &race);
        }
        gate_open(&race.gate);
        for (int i = 0; i < CHILDREN; i++) {
            assert_int_equal(child_wait(children[i]), 0);
        }
        database_remove_directory(&database);
    }
}

/* Holds a write transaction open between two gates. */
struct holder {
    const struct database *database;
    int ready; /* written to once the lock is held */
    struct gate release;
};

static enum status hold(struct storage_connection *connection, void *context)
{
    struct holder *holder = context;
    enum status status = insert_item(connection, &(struct item){.id = 1, .label = "held"});
    if (write(holder->ready, "x", 1) != 1) {
        return STATUS_INTERNAL;
    }
    gate_wait(&holder->release);
    return status;
}

static int hold_lock(void *context)
{
    struct holder *holder = context;
    struct storage *storage = open_items(holder->database, 0);
    enum status status = storage_transaction(connect_to(storage), hold, holder);
    storage_close(storage);
    return status == STATUS_OK ? 0 : 1;
}

static void waiting_ends_at_the_deadline_and_reads_never_wait(void **state)
{
    struct database *database = *state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    struct holder holder = {.database = database, .ready = ready[1], .release = gate_make()};
    pid_t child = child_start(hold_lock, &holder);
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);

    database->storage = open_items(database, 100);
    uint64_t before = clock_monotonic_nanoseconds();
    assert_int_equal(add_item(database->storage, 2), STATUS_UNAVAILABLE);
    uint64_t waited = clock_monotonic_nanoseconds() - before;
    assert_in_range(waited, 100 * 1000000, 2000 * 1000000ul);
    /* The snapshot from before the other's transaction. */
    assert_int_equal(count_items(database->storage), 0);
    storage_close(database->storage);

    /* With time enough, the writer gets its turn. */
    database->storage = open_items(database, 30000);
    gate_open(&holder.release);
    assert_int_equal(add_item(database->storage, 2), STATUS_OK);
    assert_int_equal(child_wait(child), 0);
    assert_int_equal(count_items(database->storage), 2);
    close(ready[0]);
    close(ready[1]);
}

struct committer {
    const struct database *database;
    int report;
    int64_t first;
};

static int commit_for_ever(void *context)
{
    struct committer *committer = context;
    struct storage *storage = open_items(committer->database, 30000);
    for (int64_t id = committer->first;; id++) {
        if (add_item(storage, id) != STATUS_OK ||
            write(committer->report, &id, sizeof(id)) != (ssize_t)sizeof(id)) {
            return 1;
        }
    }
}

/* Two processes commit and say so; both are killed in the middle of it. */
static void acknowledged_commits_survive_kill_9(void **state)
{
    struct database *database = *state;
    enum { ROUNDS = 12, WRITERS = 2, SPACING = 10000000 };
    static int64_t last[ROUNDS * WRITERS];
    for (int round = 0; round < ROUNDS; round++) {
        int ends[WRITERS][2];
        pid_t children[WRITERS];
        for (int i = 0; i < WRITERS; i++) {
            assert_int_equal(pipe(ends[i]), 0);
            struct committer committer = {.database = database,
                                          .report = ends[i][1],
                                          .first = (round * WRITERS + i) * (int64_t)SPACING + 1};
            children[i] = child_start(commit_for_ever, &committer);
            close(ends[i][1]);
        }
        /* Killed after a random number of acknowledgements, not after a time: no round may be
         * empty. */
        uint64_t acknowledgements = 1 + random_below(400);
        for (uint64_t n = 0; n < acknowledgements; n++) {
            assert_int_equal(read(ends[0][0], &last[round * WRITERS], sizeof(int64_t)),
                             sizeof(int64_t));
        }
        for (int i = 0; i < WRITERS; i++) {
            assert_int_equal(kill(children[i], SIGKILL), 0);
        }
        for (int i = 0; i < WRITERS; i++) {
            assert_int_equal(child_wait(children[i]), -SIGKILL);
            int64_t id;
            while (read(ends[i][0], &id, sizeof(id)) == (ssize_t)sizeof(id)) {
                last[round * WRITERS + i] = id;
            }
            close(ends[i][0]);
        }
    }
    /* Ids of a writer are consecutive, so the last one acknowledged tells them all. */
    database->storage = open_items(database, 0);
    assert_integrity(database->storage);
    struct storage_connection *connection = connect_to(database->storage);
    for (int writer = 0; writer < ROUNDS * WRITERS; writer++) {
        int64_t first = writer * (int64_t)SPACING + 1;
        for (int64_t id = first; id <= last[writer]; id++) {
            struct storage_statement *statement;
            assert_int_equal(storage_prepare(connection, "find_item", &statement), STATUS_OK);
            storage_bind_integer(statement, 1, id);
            assert_int_equal(storage_step(statement), STATUS_OK);
            storage_finish(statement);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_OPEN(a_thread_has_one_connection_which_ends_with_it),
        ON_OPEN(a_connection_does_not_cross_a_fork),
        ON_CLOSED(read_then_write_is_exact_among_processes),
        cmocka_unit_test(a_new_file_can_be_opened_by_many_at_once),
        ON_CLOSED(waiting_ends_at_the_deadline_and_reads_never_wait),
        ON_CLOSED(acknowledged_commits_survive_kill_9),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
