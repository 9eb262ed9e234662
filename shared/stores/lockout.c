/*
 * stores/lockout: the table login_failures.
 */
#include "stores/lockout.h"

#include "stores/rows.h"

#define EVERYWHERE ""

#define NAME(name) ROW_BLOB((name), LOCKOUT_NAME_SIZE)

static enum status read_until(struct storage_connection *connection,
                              const struct lockout_attempt *attempt, int64_t *until)
{
    struct storage_statement *row;
    enum status status = rows_prepare(connection, "lockout_until", &row, NAME(attempt->name),
                                      ROW_TEXT(attempt->network));
    if (status == STATUS_OK) {
        status = storage_step(row);
    }
    *until = status == STATUS_OK ? storage_integer(row, 0) : 0;
    storage_finish(row);
    return status;
}

enum status lockout_read(struct storage *storage, const struct lockout_attempt *attempt,
                         int64_t *until)
{
    struct storage_connection *connection;
    *until = 0;
    enum status status = storage_connect(storage, &connection);
    return status == STATUS_OK ? read_until(connection, attempt, until) : status;
}

static enum status count_in(struct storage_connection *connection,
                            const struct lockout_attempt *attempt, const char *network,
                            int64_t threshold)
{
    return rows_execute(connection, "lockout_count", NULL, NAME(attempt->name), ROW_TEXT(network),
                        ROW_INTEGER(attempt->now), ROW_INTEGER(threshold),
                        ROW_INTEGER(attempt->now + attempt->lock_seconds),
                        ROW_INTEGER(attempt->now - LOCKOUT_MEMORY_SECONDS));
}

struct counting {
    const struct lockout_attempt *attempt;
    bool is_locked;
};

static enum status count_failure(struct storage_connection *connection, void *context)
{
    struct counting *counting = context;
    const struct lockout_attempt *attempt = counting->attempt;
    int64_t threshold = attempt->threshold > 0 ? attempt->threshold : INT32_MAX;
    int64_t until;
    enum status status = read_until(connection, attempt, &until);
    if (status == STATUS_OK && until > attempt->now) {
        return STATUS_BUSY;
    }
    if (status == STATUS_OK) {
        status = count_in(connection, attempt, attempt->network, threshold);
    }
    if (status == STATUS_OK) {
        status = count_in(connection, attempt, EVERYWHERE, threshold * LOCKOUT_EVERYWHERE_FACTOR);
    }
    if (status == STATUS_OK) {
        status = read_until(connection, attempt, &until);
    }
    counting->is_locked = status == STATUS_OK && until > attempt->now;
    return status;
}

enum status lockout_count(struct storage *storage, const struct lockout_attempt *attempt,
                          bool *is_locked)
{
    struct counting counting = {.attempt = attempt};
    enum status status = rows_transaction(storage, count_failure, &counting);
    *is_locked = status == STATUS_OK && counting.is_locked;
    return status;
}

enum status lockout_clear(struct storage_connection *connection,
                          const struct lockout_attempt *attempt)
{
    int64_t until;
    enum status status = read_until(connection, attempt, &until);
    if (status == STATUS_OK && until > attempt->now) {
        return STATUS_BUSY;
    }
    return status != STATUS_OK ? status
                               : rows_execute(connection, "lockout_clear", NULL,
                                              NAME(attempt->name), ROW_TEXT(attempt->network));
}

enum status lockout_forget(struct storage_connection *connection,
                           const unsigned char name[LOCKOUT_NAME_SIZE])
{
    return rows_execute(connection, "lockout_forget", NULL, NAME(name));
}

enum status lockout_sweep(struct storage *storage, int64_t now, int64_t rows_maximum,
                          int64_t *removed)
{
    *removed = 0;
    enum status status =
        rows_sweep(storage, "lockout_sweep", removed, ROW_INTEGER(now - LOCKOUT_MEMORY_SECONDS),
                   ROW_INTEGER(now), ROW_INTEGER(ROWS_SWEEP_BATCH));
    return status != STATUS_OK
               ? status
               : rows_sweep(storage, "lockout_shrink", removed, ROW_INTEGER(rows_maximum),
                            ROW_INTEGER(ROWS_SWEEP_BATCH));
}
