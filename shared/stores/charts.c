/*
 * stores/charts: see the header.
 */
#include "stores/charts.h"

#include "stores/rows.h"

static enum status read_chart(struct storage_statement *statement, struct arena *arena, void *item)
{
    struct chart *chart = item;
    const char *options = storage_copy_text(statement, 2, arena);
    *chart = (struct chart){
        .number = storage_integer(statement, 0),
        .id = storage_copy_text(statement, 1, arena),
        .options = slice_of(options),
        .created_at = storage_integer(statement, 3),
        .updated_at = storage_integer(statement, 4),
        .series_count = storage_integer(statement, 5),
    };
    return storage_status(statement);
}

enum status chart_find(struct storage *storage, struct arena *arena, const char *owner,
                       const char *id, struct chart *out)
{
    struct storage_statement *statement;
    enum status status =
        rows_find(storage, "chart_find", &statement, ROW_TEXT(owner), ROW_TEXT(id));
    if (status == STATUS_OK) {
        status = read_chart(statement, arena, out);
    }
    storage_finish(statement);
    return status;
}

struct creation {
    struct arena *arena;
    const char *owner;
    const char *id;
    const char *options;
    int64_t maximum;
    int64_t now;
    struct chart *out;
};

/* STATUS_DENIED: with the chart that was just made the owner has more than allowed. */
static enum status check_quota(struct storage_connection *connection,
                               const struct creation *creation)
{
    struct storage_statement *statement;
    enum status status =
        rows_prepare(connection, "chart_owner", &statement, ROW_TEXT(creation->owner));
    if (status == STATUS_OK) {
        status = storage_step(statement);
    }
    if (status == STATUS_OK && creation->maximum > 0 &&
        storage_integer(statement, 0) > creation->maximum) {
        status = STATUS_DENIED;
    }
    storage_finish(statement);
    return status;
}

/* Looks in the same transaction: right after it, somebody else may have removed the chart. */
static enum status work_create(struct storage_connection *connection, void *context)
{
    const struct creation *creation = context;
    struct storage_statement *statement = NULL;
    int64_t made;
    enum status status = rows_execute(connection, "chart_insert", &made, ROW_TEXT(creation->owner),
                                      ROW_TEXT(creation->id), ROW_TEXT(creation->options),
                                      ROW_INTEGER(creation->now));
    if (status == STATUS_OK && made > 0) {
        status = check_quota(connection, creation);
    }
    if (status == STATUS_OK) {
        status = rows_prepare(connection, "chart_find", &statement, ROW_TEXT(creation->owner),
                              ROW_TEXT(creation->id));
    }
    if (status == STATUS_OK) {
        status = storage_step(statement);
    }
    if (status == STATUS_OK) {
        status = read_chart(statement, creation->arena, creation->out);
    }
    storage_finish(statement);
    return status;
}

enum status chart_create(struct storage *storage, struct arena *arena, const char *owner,
                         const char *id, struct slice options, int64_t maximum, int64_t now,
                         struct chart *out)
{
    /* Clients say this at every start, so most times there is nothing to write. */
    enum status status = chart_find(storage, arena, owner, id, out);
    if (status != STATUS_NOT_FOUND) {
        return status;
    }
    const char *text = arena_copy(arena, options.data, options.length);
    if (text == NULL) {
        return STATUS_NO_MEMORY;
    }
    struct creation creation = {.arena = arena,
                                .owner = owner,
                                .id = id,
                                .options = text,
                                .maximum = maximum,
                                .now = now,
                                .out = out};
    return rows_transaction(storage, work_create, &creation);
}

struct options_change {
    const char *owner;
    const char *id;
    struct slice options;
    int64_t now;
};

static enum status work_set_options(struct storage_connection *connection, void *context)
{
    const struct options_change *change = context;
    struct storage_statement *statement;
    enum status status = storage_prepare(connection, "chart_set_options", &statement);
    if (status != STATUS_OK) {
        return status;
    }
    storage_bind_text(statement, 1, change->owner);
    storage_bind_text(statement, 2, change->id);
    storage_bind_slice(statement, 3, change->options);
    storage_bind_integer(statement, 4, change->now);
    status = storage_execute(statement);
    if (status == STATUS_OK && storage_changes(connection) == 0) {
        return STATUS_NOT_FOUND;
    }
    return status;
}

enum status chart_set_options(struct storage *storage, const char *owner, const char *id,
                              struct slice options, int64_t now)
{
    struct options_change change = {.owner = owner, .id = id, .options = options, .now = now};
    return rows_transaction(storage, work_set_options, &change);
}

enum status chart_delete(struct storage *storage, const char *owner, const char *id)
{
    int64_t changes;
    enum status status =
        rows_change(storage, "chart_delete", &changes, ROW_TEXT(owner), ROW_TEXT(id));
    return status == STATUS_OK && changes == 0 ? STATUS_NOT_FOUND : status;
}

enum status chart_list(struct storage *storage, struct arena *arena, const char *owner,
                       int64_t limit, int64_t offset, struct chart **out, size_t *count,
                       int64_t *total)
{
    struct storage_statement *statement;
    enum status status = rows_find(storage, "chart_owner", &statement, ROW_TEXT(owner));
    *total = status == STATUS_OK ? storage_integer(statement, 0) : 0;
    storage_finish(statement);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        return status;
    }
    void *items;
    status = rows_list(storage, "chart_list", arena, read_chart, sizeof(struct chart), &items,
                       count, ROW_TEXT(owner), ROW_INTEGER(limit), ROW_INTEGER(offset));
    *out = items;
    return status;
}

struct reads {
    const uint64_t *numbers;
    size_t count;
    int64_t now;
    int64_t before;
};

static enum status work_note_reads(struct storage_connection *connection, void *context)
{
    const struct reads *reads = context;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < reads->count && status == STATUS_OK; i++) {
        status = rows_execute(connection, "chart_note_read", NULL,
                              ROW_INTEGER((int64_t)reads->numbers[i]), ROW_INTEGER(reads->now),
                              ROW_INTEGER(reads->before));
    }
    return status;
}

enum status chart_note_reads(struct storage *storage, const uint64_t *numbers, size_t count,
                             int64_t now, int64_t before)
{
    struct reads reads = {.numbers = numbers, .count = count, .now = now, .before = before};
    return rows_transaction(storage, work_note_reads, &reads);
}

enum status chart_sweep(struct storage *storage, int64_t before, int64_t *removed)
{
    enum status status = STATUS_OK;
    int64_t changes = 1;
    *removed = 0;
    while (status == STATUS_OK && changes > 0) {
        if (*removed > 0) {
            storage_give_way();
        }
        status = rows_change(storage, "chart_sweep", &changes, ROW_INTEGER(before));
        *removed += changes;
    }
    return status;
}

struct looking {
    int64_t now;
    int64_t boot;
    int64_t trusted;
};

static enum status work_trusted_time(struct storage_connection *connection, void *context)
{
    struct looking *looking = context;
    struct storage_statement *statement;
    enum status status = storage_prepare(connection, "chart_clock", &statement);
    looking->trusted = looking->now;
    if (status == STATUS_OK) {
        status = storage_step(statement);
    }
    if (status == STATUS_OK) {
        int64_t passed = looking->boot - storage_integer(statement, 1);
        passed = passed >= 0 ? passed : looking->boot; /* the machine was started anew */
        int64_t latest = storage_integer(statement, 0) + passed + passed / 4;
        looking->trusted = looking->now < latest ? looking->now : latest;
    }
    storage_finish(statement);
    return status == STATUS_OK || status == STATUS_NOT_FOUND
               ? rows_execute(connection, "chart_clock_set", NULL, ROW_INTEGER(looking->trusted),
                              ROW_INTEGER(looking->boot))
               : status;
}

enum status chart_trusted_time(struct storage *storage, int64_t now, int64_t boot, int64_t *trusted)
{
    struct looking looking = {.now = now, .boot = boot};
    enum status status = rows_transaction(storage, work_trusted_time, &looking);
    *trusted = looking.trusted;
    return status;
}

enum status chart_ping(struct storage *storage)
{
    struct storage_connection *connection;
    struct storage_statement *statement = NULL;
    enum status status = storage_connect(storage, &connection);
    if (status == STATUS_OK) {
        status = storage_prepare(connection, "chart_ping", &statement);
    }
    if (status == STATUS_OK) {
        status = storage_step(statement);
    }
    storage_finish(statement);
    return status;
}
