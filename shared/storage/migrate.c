/*
 * storage/migrate: the table schema_migrations and the steps it records.
 *
 * Versions count from 1 without gaps, so the table's rows, read in order, must be the first
 * migrations of the program; anything else is told as a problem and nothing is changed.
 */
#include "storage/migrate.h"

#include <string.h>

#include "base/clock.h"
#include "base/siphash.h"
#include "log/log.h"
#include "storage/driver.h"

#define CHECKSUM_SIZE 33

typedef void visit_migration(int version, const char *name, int64_t applied_at, void *context);

struct history {
    int version;            /* highest applied */
    struct buffer *problem; /* NULL: do not judge */
    visit_migration *visit; /* NULL allowed */
    void *context;
};

/* SipHash under a fixed key: this finds edited files, not forgers, and needs no library that the
 * folders below auth/ may not use. */
static void compute_checksum(const char *text, char out[CHECKSUM_SIZE])
{
    static const struct siphash_key key = {{UINT64_C(0x71756e746574), UINT64_C(0x736368656d61)}};
    struct siphash_value value = siphash_compute(&key, text, strlen(text));
    unsigned char bytes[16];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)(value.words[i / 8] >> (8 * (i % 8)));
    }
    text_encode_hex(bytes, sizeof(bytes), out);
}

/* Whether the statement has a row. */
static enum status has_row(struct storage_connection *connection, const char *name, bool *exists)
{
    struct storage_statement *statement;
    enum status status = storage_prepare(connection, name, &statement);
    if (status != STATUS_OK) {
        return status;
    }
    status = storage_step(statement);
    *exists = status == STATUS_OK;
    storage_finish(statement);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* Is this row the one that must stand here? */
static enum status judge_row(const struct sql_dialect *dialect, int expected, int version,
                             struct slice checksum, struct buffer *problem)
{
    int latest = (int)dialect->migration_count;
    if (version > latest) {
        buffer_append_format(problem,
                             "the database has migration %d, this program knows only %d: "
                             "install a newer release",
                             version, latest);
        return STATUS_CONFLICT;
    }
    if (version != expected) {
        buffer_append_format(problem, "migration %d is recorded but %d is not", version, expected);
        return STATUS_CONFLICT;
    }
    char known[CHECKSUM_SIZE];
    compute_checksum(dialect->migrations[version - 1].up, known);
    if (!slice_equals(checksum, known)) {
        buffer_append_format(problem, "migration %d (%s) was changed after it had been applied",
                             version, dialect->migrations[version - 1].name);
        return STATUS_CONFLICT;
    }
    return STATUS_OK;
}

/* A database without our table must be empty: nothing is added to what others keep there. */
static enum status judge_stranger(struct storage_connection *connection,
                                  const struct history *history)
{
    bool is_foreign = false;
    enum status status = has_row(connection, "migration_foreign_table", &is_foreign);
    if (status == STATUS_OK && is_foreign && history->problem != NULL) {
        buffer_append_text(history->problem,
                           "the database holds tables of something else and is left alone");
        return STATUS_CONFLICT;
    }
    return status;
}

static enum status read_history(struct storage_connection *connection, struct history *history)
{
    const struct sql_dialect *dialect = connection->storage->dialect;
    struct storage_statement *statement = NULL;
    history->version = 0;
    bool exists = false;
    enum status status = has_row(connection, "migration_table_exists", &exists);
    if (status == STATUS_OK && !exists) {
        return judge_stranger(connection, history);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = storage_prepare(connection, "migration_list", &statement);
    if (status != STATUS_OK) {
        return status;
    }
    while ((status = storage_step(statement)) == STATUS_OK) {
        int version = (int)storage_integer(statement, 0);
        if (history->problem != NULL) {
            status = judge_row(dialect, history->version + 1, version, storage_text(statement, 2),
                               history->problem);
            if (status != STATUS_OK) {
                goto out;
            }
        }
        history->version = version;
        if (history->visit != NULL) {
            bool is_known = version >= 1 && version <= (int)dialect->migration_count;
            history->visit(version, is_known ? dialect->migrations[version - 1].name : NULL,
                           storage_integer(statement, 1), history->context);
        }
    }
    status = status == STATUS_NOT_FOUND ? STATUS_OK : status;
out:
    storage_finish(statement);
    return status;
}

static enum status read_committed_history(struct storage *storage, struct history *history)
{
    struct storage_connection *connection;
    enum status status = storage_connect(storage, &connection);
    return status == STATUS_OK ? read_history(connection, history) : status;
}

enum status migrate_read_status(struct storage *storage, struct migrate_status *out)
{
    struct history history = {0};
    enum status status = read_committed_history(storage, &history);
    out->version = history.version;
    out->latest = (int)storage->dialect->migration_count;
    return status;
}

enum status migrate_verify(struct storage *storage, struct buffer *problem)
{
    struct history history = {.problem = problem};
    return read_committed_history(storage, &history);
}

enum status migrate_list(struct storage *storage, visit_migration *visit, void *context)
{
    struct history history = {.visit = visit, .context = context};
    enum status status = read_committed_history(storage, &history);
    if (status != STATUS_OK) {
        return status;
    }
    const struct sql_dialect *dialect = storage->dialect;
    for (size_t i = (size_t)history.version; i < dialect->migration_count; i++) {
        visit(dialect->migrations[i].version, dialect->migrations[i].name, 0, context);
    }
    return STATUS_OK;
}

/* --- Steps: each one is a transaction ------------------------------------------------------- */

struct step {
    struct buffer *problem;
    size_t problem_length; /* on entry; the work may run more than once */
    const struct sql_migration *done;
};

static enum status execute_simple(struct storage_connection *connection, const char *name)
{
    struct storage_statement *statement;
    enum status status = storage_prepare(connection, name, &statement);
    return status == STATUS_OK ? storage_execute(statement) : status;
}

static enum status record(struct storage_connection *connection,
                          const struct sql_migration *migration)
{
    struct storage_statement *statement;
    enum status status = storage_prepare(connection, "migration_insert", &statement);
    if (status != STATUS_OK) {
        return status;
    }
    char checksum[CHECKSUM_SIZE];
    compute_checksum(migration->up, checksum);
    storage_bind_integer(statement, 1, migration->version);
    storage_bind_text(statement, 2, migration->name);
    storage_bind_integer(statement, 3, clock_wall_seconds());
    storage_bind_text(statement, 4, checksum);
    return storage_execute(statement);
}

static enum status erase(struct storage_connection *connection,
                         const struct sql_migration *migration)
{
    struct storage_statement *statement;
    enum status status = storage_prepare(connection, "migration_delete", &statement);
    if (status != STATUS_OK) {
        return status;
    }
    storage_bind_integer(statement, 1, migration->version);
    return storage_execute(statement);
}

static enum status fail(struct step *step, const struct sql_migration *migration,
                        enum status status)
{
    if (buffer_text(step->problem)[step->problem_length] == '\0') {
        buffer_append_format(step->problem, "migration %d (%s) failed: %s", migration->version,
                             migration->name, status_text(status));
    }
    return status;
}

static enum status step_up(struct storage_connection *connection, void *context)
{
    struct step *step = context;
    const struct sql_dialect *dialect = connection->storage->dialect;
    struct history history = {.problem = step->problem};
    buffer_truncate(step->problem, step->problem_length);
    step->done = NULL;
    enum status status = execute_simple(connection, "migration_create_table");
    if (status == STATUS_OK) {
        status = read_history(connection, &history);
    }
    if (status != STATUS_OK || (size_t)history.version >= dialect->migration_count) {
        return status;
    }
    const struct sql_migration *migration = &dialect->migrations[history.version];
    status = storage_run_script(connection, migration->up);
    if (status == STATUS_OK) {
        status = record(connection, migration);
    }
    if (status != STATUS_OK) {
        return fail(step, migration, status);
    }
    step->done = migration;
    return STATUS_OK;
}

static enum status step_down(struct storage_connection *connection, void *context)
{
    struct step *step = context;
    const struct sql_dialect *dialect = connection->storage->dialect;
    struct history history = {.problem = step->problem};
    buffer_truncate(step->problem, step->problem_length);
    step->done = NULL;
    enum status status = read_history(connection, &history);
    if (status != STATUS_OK || history.version == 0) {
        return status;
    }
    const struct sql_migration *migration = &dialect->migrations[history.version - 1];
    status = storage_run_script(connection, migration->down);
    if (status == STATUS_OK) {
        status = erase(connection, migration);
    }
    if (status != STATUS_OK) {
        return fail(step, migration, status);
    }
    step->done = migration;
    return STATUS_OK;
}

static enum status run_step(struct storage *storage, storage_work *work, const char *event,
                            struct buffer *problem, bool *is_done)
{
    struct storage_connection *connection;
    enum status status = storage_connect(storage, &connection);
    if (status != STATUS_OK) {
        return status;
    }
    struct step step = {.problem = problem, .problem_length = problem->length};
    status = storage_transaction(connection, work, &step);
    *is_done = step.done == NULL;
    if (status == STATUS_OK && step.done != NULL) {
        log_write(LOG_INFO, event, LOG_INTEGER("version", step.done->version),
                  LOG_TEXT("name", step.done->name));
    }
    return status;
}

enum status migrate_up(struct storage *storage, struct buffer *problem)
{
    /* Every start comes through here: nobody should wait for a write lock to learn that there is
     * nothing to do. */
    struct history history = {.problem = problem};
    enum status status = read_committed_history(storage, &history);
    bool is_done = (size_t)history.version == storage->dialect->migration_count;
    while (status == STATUS_OK && !is_done) {
        status = run_step(storage, step_up, "migration_applied", problem, &is_done);
    }
    return status;
}

enum status migrate_down(struct storage *storage, int steps, struct buffer *problem)
{
    enum status status = STATUS_OK;
    bool is_done = false;
    for (int i = 0; i < steps && status == STATUS_OK && !is_done; i++) {
        status = run_step(storage, step_down, "migration_taken_back", problem, &is_done);
    }
    return status;
}
