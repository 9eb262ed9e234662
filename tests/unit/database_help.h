/*
 * tests/unit/database_help: a database of one's own in a temporary directory, and child
 * processes that report through their exit status.
 */
#ifndef TESTS_DATABASE_HELP_H
#define TESTS_DATABASE_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/driver.h"
#include "storage/migrate.h"
#include "storage/storage.h"

#define CHILDREN 8

struct database {
    char directory[64];
    char url[128]; /* sqlite:<directory>/test.db */
    struct storage *storage;
};

static inline int database_remove_entry(const char *path, const struct stat *information, int type,
                                        struct FTW *walk)
{
    (void)information;
    (void)type;
    (void)walk;
    return remove(path);
}

/* The path within the url. */
static inline const char *database_path(const struct database *database)
{
    return database->url + strlen("sqlite:");
}

static inline void database_make_directory(struct database *database)
{
    memset(database, 0, sizeof(*database));
    snprintf(database->directory, sizeof(database->directory), "/tmp/quintet-test-XXXXXX");
    assert_non_null(mkdtemp(database->directory));
    snprintf(database->url, sizeof(database->url), "sqlite:%s/test.db", database->directory);
}

/* `dialect` NULL: the product's SQL, and its migrations are applied. */
static inline struct storage *database_open_with(const struct database *database,
                                                 const struct sql_dialect *dialect,
                                                 unsigned busy_timeout_milliseconds)
{
    struct storage_options options = {.url = database->url,
                                      .busy_timeout_milliseconds = busy_timeout_milliseconds};
    struct storage *storage = NULL;
    assert_int_equal(storage_open_dialect(&storage, &options, dialect), STATUS_OK);
    if (dialect == NULL) {
        struct buffer problem;
        buffer_init(&problem, 1024);
        assert_int_equal(migrate_up(storage, &problem), STATUS_OK);
        buffer_release(&problem);
    }
    return storage;
}

static inline void database_remove_directory(struct database *database)
{
    nftw(database->directory, database_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* cmocka fixtures: *state is a migrated, open database. */
static inline int database_set_up(void **state)
{
    struct database *database = calloc(1, sizeof(*database));
    assert_non_null(database);
    database_make_directory(database);
    database->storage = database_open_with(database, NULL, 0);
    *state = database;
    return 0;
}

static inline int database_tear_down(void **state)
{
    struct database *database = *state;
    if (database == NULL) {
        return 0; /* the setup failed */
    }
    storage_close(database->storage);
    database_remove_directory(database);
    free(database);
    return 0;
}

/* Forks; the child runs `work` and exits with its result. The parent must have no connection. */
static inline pid_t child_start(int (*work)(void *context), void *context)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(work(context));
    }
    return child;
}

static inline int child_wait(pid_t child)
{
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* A barrier between processes: everybody who reads it waits until the writer closes. */
struct gate {
    int ends[2];
};

static inline struct gate gate_make(void)
{
    struct gate gate;
    assert_int_equal(pipe(gate.ends), 0);
    return gate;
}

static inline void gate_wait(const struct gate *gate)
{
    char byte;
    close(gate->ends[1]);
    while (read(gate->ends[0], &byte, 1) < 0) {
    }
}

static inline void gate_open(const struct gate *gate)
{
    close(gate->ends[0]);
    close(gate->ends[1]);
}

#endif
