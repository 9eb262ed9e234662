/*
 * stores/series_strip: see the header.
 *
 * Between two transactions of a long work the writer gives way: others wait for the lock by naps,
 * so one that took it again at once would keep them from it.
 */
#include "stores/series_strip.h"

#include "base/memory.h"
#include "stores/rows.h"

/* Points that are removed in one transaction; a block has 4 MiB at most. */
#define REMOVED_BYTES ((int64_t)2 << 20)
/* Long after the end of any request, so whoever prepared it is gone. */
#define ABANDONED_MILLISECONDS INT64_C(3600000)

enum status series_return_integer(struct storage_statement *statement, int64_t *number)
{
    enum status status = storage_step(statement);
    if (status == STATUS_OK) {
        *number = storage_integer(statement, 0);
        /* RETURNING: the statement is complete when it says that there is no further row. */
        status = storage_step(statement);
        status = status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    storage_finish(statement);
    return status;
}

/* --- Blocks ------------------------------------------------------------------------------- */

static enum status put_payload(struct storage_connection *connection,
                               const struct series_place *old, const struct series_block *block,
                               int64_t *number)
{
    struct storage_statement *statement;
    enum status status =
        storage_prepare(connection, old != NULL ? "payload_update" : "payload_insert", &statement);
    if (status != STATUS_OK) {
        return status;
    }
    storage_bind_blob(statement, 1, block->times.data, block->times.length);
    storage_bind_blob(statement, 2, block->starts.data, block->starts.length);
    storage_bind_blob(statement, 3, block->payload.data, block->payload.length);
    if (old != NULL) {
        storage_bind_integer(statement, 4, old->payload);
    }
    return series_return_integer(statement, number);
}

enum status series_put_block(struct storage_connection *connection, struct series_encoder *encoder,
                             int64_t strip, const struct series_place *old,
                             const struct point *points, size_t count, int64_t first_index)
{
    struct series_block block;
    int64_t payload = 0;
    enum status status = series_encoder_run(encoder, points, count, &block);
    if (status == STATUS_OK) {
        status = put_payload(connection, old, &block, &payload);
    }
    struct storage_statement *statement = NULL;
    if (status == STATUS_OK) {
        status =
            storage_prepare(connection, old != NULL ? "block_update" : "block_insert", &statement);
    }
    if (status != STATUS_OK) {
        return status;
    }
    storage_bind_integer(statement, 1, strip);
    storage_bind_double(statement, 2, points[0].time);
    storage_bind_double(statement, 3, points[count - 1].time);
    storage_bind_integer(statement, 4, first_index);
    storage_bind_integer(statement, 5, (int64_t)count);
    storage_bind_integer(statement, 6, (int64_t)block.payload.length);
    storage_bind_integer(statement, 7, payload);
    if (old != NULL) {
        storage_bind_double(statement, 8, old->first_time);
    }
    return storage_execute(statement);
}

/* --- Preparing ---------------------------------------------------------------------------- */

enum status series_strip_make(struct storage_connection *connection, int64_t now, int64_t *strip)
{
    struct storage_statement *statement;
    enum status status = rows_prepare(connection, "strip_prepare", &statement, ROW_INTEGER(now));
    return status == STATUS_OK ? series_return_integer(statement, strip) : status;
}

enum status series_strip_adopt(struct storage_connection *connection, int64_t strip)
{
    int64_t changes;
    enum status status = rows_execute(connection, "strip_adopt", &changes, ROW_INTEGER(strip));
    return status == STATUS_OK && changes != 1 ? STATUS_UNAVAILABLE : status;
}

struct part {
    const struct point *points;
    size_t count; /* of this part */
    int64_t now;
    int64_t strip; /* 0: still to be made */
    int64_t first_index;
    struct series_encoder *encoder;
};

static enum status work_part(struct storage_connection *connection, void *context)
{
    struct part *part = context;
    int64_t strip = part->strip;
    enum status status = strip != 0 ? STATUS_OK : series_strip_make(connection, part->now, &strip);
    for (size_t at = 0; at < part->count && status == STATUS_OK; at += SERIES_BLOCK_POINTS) {
        size_t count = part->count - at;
        count = count < SERIES_BLOCK_POINTS ? count : SERIES_BLOCK_POINTS;
        status = series_put_block(connection, part->encoder, strip, NULL, part->points + at, count,
                                  part->first_index + (int64_t)at);
    }
    part->strip = strip;
    return status;
}

/* Whole blocks of part_bytes together, or all there are. */
static size_t measure_part(const struct point *points, size_t count, size_t part_bytes)
{
    size_t bytes = 0;
    size_t taken = 0;
    while (taken < count && (bytes < part_bytes || taken % SERIES_BLOCK_POINTS != 0)) {
        bytes += points[taken++].length;
    }
    return taken;
}

enum status series_strip_prepare(struct storage *storage, const struct point *points, size_t count,
                                 size_t part_bytes, int64_t now, int64_t *strip)
{
    struct series_encoder *encoder = memory_allocate(sizeof(*encoder));
    struct part part = {.points = points, .now = now, .encoder = encoder};
    enum status status = STATUS_OK;
    *strip = 0;
    if (encoder == NULL) {
        return STATUS_NO_MEMORY;
    }
    series_encoder_init(encoder);
    while (count > 0 && status == STATUS_OK) {
        int64_t made = part.strip;
        part.count = measure_part(part.points, count, part_bytes);
        status = rows_transaction(storage, work_part, &part);
        if (status != STATUS_OK) {
            part.strip = made;
        }
        *strip = part.strip;
        part.points += part.count;
        part.first_index += (int64_t)part.count;
        count -= part.count;
        storage_give_way();
    }
    series_encoder_release(encoder);
    memory_release(encoder);
    return status;
}

void series_strip_abandon(struct storage *storage, int64_t strip)
{
    /* If this fails, it is found by its age. */
    (void)!rows_change(storage, "strip_abandon", NULL, ROW_INTEGER(strip));
}

/* --- Removing ----------------------------------------------------------------------------- */

struct removal {
    int64_t now;
    bool is_done;
};

struct found {
    double first_time;
    int64_t payload;
};

/* The next blocks to go; at most `maximum`. */
static enum status find_blocks(struct storage_connection *connection, int64_t strip,
                               struct found *found, size_t maximum, size_t *count)
{
    struct storage_statement *statement;
    int64_t bytes = 0;
    *count = 0;
    enum status status = rows_prepare(connection, "block_list", &statement, ROW_INTEGER(strip));
    if (status != STATUS_OK) {
        return status;
    }
    while (*count < maximum && bytes < REMOVED_BYTES &&
           (status = storage_step(statement)) == STATUS_OK) {
        found[(*count)++] = (struct found){.first_time = storage_double(statement, 0),
                                           .payload = storage_integer(statement, 1)};
        bytes += storage_integer(statement, 2);
    }
    storage_finish(statement);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status remove_block(struct storage_connection *connection, int64_t strip,
                                const struct found *found)
{
    struct storage_statement *statement;
    enum status status =
        rows_execute(connection, "payload_delete", NULL, ROW_INTEGER(found->payload));
    if (status == STATUS_OK) {
        status = rows_prepare(connection, "block_delete", &statement, ROW_INTEGER(strip));
    }
    if (status != STATUS_OK) {
        return status;
    }
    storage_bind_double(statement, 2, found->first_time);
    return storage_execute(statement);
}

static enum status forget_if_empty(struct storage_connection *connection, int64_t strip)
{
    struct storage_statement *statement;
    enum status status = rows_prepare(connection, "block_last", &statement, ROW_INTEGER(strip));
    if (status == STATUS_OK) {
        status = storage_step(statement);
        storage_finish(statement);
    }
    return status == STATUS_NOT_FOUND
               ? rows_execute(connection, "strip_forget", NULL, ROW_INTEGER(strip))
               : status;
}

/* A strip that was given up, or whose writer must be dead. STATUS_NOT_FOUND: there is none. */
static enum status read_strip(struct storage_statement *statement, enum status status,
                              int64_t *strip)
{
    if (status == STATUS_OK) {
        status = storage_step(statement);
    }
    *strip = status == STATUS_OK ? storage_integer(statement, 0) : 0;
    storage_finish(statement);
    return status;
}

#define REMOVABLE(now)                                                                             \
    ROW_INTEGER((now)-ABANDONED_MILLISECONDS), ROW_INTEGER((now) + ABANDONED_MILLISECONDS)

static enum status work_remove(struct storage_connection *connection, void *context)
{
    struct removal *removal = context;
    struct storage_statement *statement = NULL;
    struct found found[64];
    size_t count = 0;
    int64_t strip = 0;
    enum status status =
        rows_prepare(connection, "strip_to_remove", &statement, REMOVABLE(removal->now));
    status = read_strip(statement, status, &strip);
    removal->is_done = status == STATUS_NOT_FOUND;
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    status = rows_execute(connection, "strip_abandon", NULL, ROW_INTEGER(strip));
    if (status == STATUS_OK) {
        status = find_blocks(connection, strip, found, sizeof found / sizeof found[0], &count);
    }
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = remove_block(connection, strip, &found[i]);
    }
    if (status == STATUS_OK && count < sizeof found / sizeof found[0]) {
        status = forget_if_empty(connection, strip);
    }
    return status;
}

enum status series_remove_loose(struct storage *storage, int64_t now, unsigned parts, bool *is_done)
{
    struct storage_connection *connection;
    struct storage_statement *statement = NULL;
    struct removal removal = {.now = now};
    int64_t strip;
    *is_done = false;
    enum status status = storage_connect(storage, &connection);
    if (status == STATUS_OK) {
        status = rows_prepare(connection, "strip_to_remove", &statement, REMOVABLE(now));
        /* Mostly there is nothing to do; that needs no write. */
        status = read_strip(statement, status, &strip);
        removal.is_done = status == STATUS_NOT_FOUND;
        status = removal.is_done ? STATUS_OK : status;
    }
    for (unsigned i = 0; status == STATUS_OK && !removal.is_done && (parts == 0 || i < parts);
         i++) {
        if (i > 0) {
            storage_give_way();
        }
        status = storage_transaction(connection, work_remove, &removal);
    }
    *is_done = status == STATUS_OK && removal.is_done;
    return status;
}
