/*
 * stores/series_write: replacing, appending and correcting the points of a series.
 *
 * All three are one merge of new points into blocks, in the order of time. Each touched block is
 * taken apart, merged with the new points that fall before the next block, and written again; what
 * does not fit becomes further blocks. Behind the newest point blocks are filled up, so that a
 * series that only grows has full blocks; a block in the middle that overflows is halved, so that
 * it has room for the next insertion. Inserted points raise first_index of all later blocks:
 * *shift* counts them, and blocks that are not touched are shifted by one statement for each run of
 * them.
 *
 * The points are encoded to blocks inside the transaction, for it depends on the last block how
 * they are cut; that is a copy of their text, which the database makes once more anyway. But those
 * of a large write that only fill new blocks are prepared before, in a strip of their own
 * (series_strip.h), and the transaction takes the whole strip over: of each block it moves a row of
 * some 60 bytes.
 */
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "stores/rows.h"
#include "stores/series.h"
#include "stores/series_block.h"
#include "stores/series_strip.h"

struct writer {
    struct storage_connection *connection;
    int64_t strip;
    const struct point *points; /* not yet written */
    size_t count;
    int64_t added;      /* points that were not there before */
    double unshifted;   /* blocks from this time on have not been shifted yet */
    double after_block; /* first time of the block after the present one */
    bool is_last_block;
    struct series_encoder encoder;
    struct buffer old; /* copies of times, starts and payload of the present block */
};

#define OLD_MAXIMUM ((size_t)SERIES_BLOCK_POINTS * (POINT_TEXT_MAXIMUM + 16))

/* --- Blocks ------------------------------------------------------------------------------- */

/* Writes any number of points as blocks of at most `size`, the first over the block at `old`. */
static enum status put_blocks(struct writer *writer, const struct series_place *old,
                              const struct point *points, size_t count, int64_t first_index,
                              size_t size)
{
    enum status status = STATUS_OK;
    while (count > 0 && status == STATUS_OK) {
        size_t part = count < size ? count : size;
        status = series_put_block(writer->connection, &writer->encoder, writer->strip, old, points,
                                  part, first_index);
        old = NULL;
        points += part;
        count -= part;
        first_index += (int64_t)part;
    }
    return status;
}

/* Blocks from the last shifted one up to `until`, which are not written otherwise. */
static enum status shift_blocks(struct writer *writer, double until)
{
    double from = writer->unshifted;
    writer->unshifted = until;
    if (writer->added == 0 || from >= until) {
        return STATUS_OK;
    }
    struct storage_statement *statement;
    enum status status = storage_prepare(writer->connection, "block_shift", &statement);
    if (status != STATUS_OK) {
        return status;
    }
    storage_bind_integer(statement, 1, writer->strip);
    storage_bind_integer(statement, 2, writer->added);
    storage_bind_double(statement, 3, from);
    storage_bind_double(statement, 4, until);
    return storage_execute(statement);
}

/* --- Merging ------------------------------------------------------------------------------ */

/* Keeps what the row holds, for the row ends before it is written again. */
static enum status keep_block(struct writer *writer, struct series_block *block)
{
    struct buffer *old = &writer->old;
    buffer_reset(old);
    size_t length = block->times.length + block->starts.length + block->payload.length;
    char *copy = buffer_reserve(old, length);
    if (copy == NULL) {
        return old->status;
    }
    struct slice *parts[] = {&block->times, &block->starts, &block->payload};
    for (size_t i = 0; i < 3; i++) {
        memcpy(copy, parts[i]->data, parts[i]->length);
        parts[i]->data = copy;
        copy += parts[i]->length;
    }
    buffer_commit(old, length);
    return STATUS_OK;
}

static enum status take_point(const struct series_block *block, size_t index, struct point *out)
{
    struct slice text;
    enum status status = series_block_slice(block, index, index + 1, &text);
    *out = (struct point){
        .time = series_block_time(block, index), .text = text.data, .length = text.length};
    return status;
}

/* Merges `count` new points into the block; a new one takes the place of an old one of its time.
 * `out` has room for all of them. */
static enum status merge(const struct series_block *block, const struct point *points, size_t count,
                         struct point *out, size_t *merged)
{
    size_t old = 0;
    size_t new = 0;
    *merged = 0;
    while (old < block->count || new < count) {
        double old_time = old < block->count ? series_block_time(block, old) : SERIES_TO_END;
        if (new < count && points[new].time <= old_time) {
            old += points[new].time == old_time;
            out[(*merged)++] = points[new ++];
            continue;
        }
        enum status status = take_point(block, old++, &out[(*merged)++]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status write_merged(struct writer *writer, const struct series_place *old,
                                const struct series_block *block, size_t taken)
{
    int64_t first_index = block->first_index + writer->added;
    double last_time = series_block_time(block, block->count - 1);
    if (block->count == SERIES_BLOCK_POINTS && writer->points[0].time > last_time) {
        /* Behind a full block: that one keeps its points, but not its place. */
        enum status status = shift_blocks(writer, writer->after_block);
        if (status == STATUS_OK) {
            status = put_blocks(writer, NULL, writer->points, taken,
                                first_index + (int64_t)block->count, SERIES_BLOCK_POINTS);
        }
        writer->added += (int64_t)taken;
        return status;
    }
    struct point *points = memory_allocate((block->count + taken) * sizeof(*points));
    if (points == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t merged;
    enum status status = merge(block, writer->points, taken, points, &merged);
    if (status == STATUS_OK) {
        size_t parts = 1 + (merged - 1) / SERIES_BLOCK_POINTS;
        size_t size = writer->is_last_block ? SERIES_BLOCK_POINTS : (merged + parts - 1) / parts;
        status = put_blocks(writer, old, points, merged, first_index, size);
        writer->added += (int64_t)(merged - block->count);
    }
    memory_release(points);
    return status;
}

/* Finds the block the next new point belongs to. STATUS_NOT_FOUND: the series has none. */
static enum status find_block(struct writer *writer, struct series_place *place,
                              struct series_block *block)
{
    struct storage_statement *statement;
    enum status status = storage_prepare(writer->connection, "block_at", &statement);
    if (status != STATUS_OK) {
        return status;
    }
    storage_bind_integer(statement, 1, writer->strip);
    storage_bind_double(statement, 2, writer->points[0].time);
    status = storage_step(statement);
    if (status == STATUS_NOT_FOUND) {
        /* Before the first one: it becomes the beginning of that. */
        storage_finish(statement);
        status =
            rows_prepare(writer->connection, "block_first", &statement, ROW_INTEGER(writer->strip));
        if (status == STATUS_OK) {
            status = storage_step(statement);
        }
    }
    if (status == STATUS_OK) {
        place->payload = storage_integer(statement, 0);
        writer->is_last_block = storage_is_null(statement, 3);
        writer->after_block = writer->is_last_block ? SERIES_TO_END : storage_double(statement, 3);
        status = series_block_load(block, statement, 1, 4);
    }
    if (status == STATUS_OK) {
        place->first_time = series_block_time(block, 0);
        status = keep_block(writer, block);
    }
    storage_finish(statement);
    return status;
}

/* Puts all points where they belong. */
static enum status write_points(struct writer *writer)
{
    enum status status = STATUS_OK;
    while (writer->count > 0 && status == STATUS_OK) {
        struct series_place place;
        struct series_block block;
        status = find_block(writer, &place, &block);
        if (status == STATUS_NOT_FOUND) {
            writer->added += (int64_t)writer->count;
            return put_blocks(writer, NULL, writer->points, writer->count, 0, SERIES_BLOCK_POINTS);
        }
        if (status == STATUS_OK) {
            status = shift_blocks(writer, place.first_time);
        }
        if (status != STATUS_OK) {
            return status;
        }
        size_t taken = 0;
        while (taken < writer->count && writer->points[taken].time < writer->after_block) {
            taken++;
        }
        status = write_merged(writer, &place, &block, taken);
        writer->points += taken;
        writer->count -= taken;
        writer->unshifted = writer->after_block;
    }
    return status == STATUS_OK ? shift_blocks(writer, SERIES_TO_END) : status;
}

/* --- The transaction ---------------------------------------------------------------------- */

/* What a write does, and where it has got to. */
struct attempt {
    struct series_change *change;
    /* The points from `head` on are blocks already, in the loose strip `tail`. */
    size_t head;
    int64_t tail; /* 0: none */
};

/* Of nineteen digits, always: some sixty random bits. */
static int64_t make_stamp(void)
{
    uint64_t bits;
    random_bytes(&bits, sizeof bits);
    return INT64_C(1000000000000000000) + (int64_t)(bits % UINT64_C(8000000000000000000));
}

static enum status read_holdings(struct writer *writer, const struct series_key *key,
                                 struct chart_quota *out)
{
    *out = (struct chart_quota){0};
    struct storage_statement *statement;
    enum status status =
        rows_prepare(writer->connection, "chart_owner", &statement, ROW_TEXT(key->owner));
    if (status == STATUS_OK) {
        status = storage_step(statement);
    }
    if (status == STATUS_OK) {
        out->charts = storage_integer(statement, 0);
        out->series = storage_integer(statement, 1);
        out->points = storage_integer(statement, 2);
    }
    storage_finish(statement);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static bool exceeds(int64_t quota, int64_t before, int64_t after)
{
    return quota > 0 && after > quota && after > before;
}

/* An owner who is already above a quota that was lowered may still change and remove. */
static enum status check_quota(struct writer *writer, const struct series_change *change,
                               const struct chart_quota *before)
{
    const struct chart_quota *quota = &change->quota;
    struct chart_quota after;
    enum status status = read_holdings(writer, &change->key, &after);
    if (status != STATUS_OK) {
        return status;
    }
    return exceeds(quota->charts, before->charts, after.charts) ||
                   exceeds(quota->series, before->series, after.series) ||
                   exceeds(quota->points, before->points, after.points)
               ? STATUS_DENIED
               : STATUS_OK;
}

static enum status replace(struct writer *writer, const struct attempt *attempt)
{
    struct series_change *change = attempt->change;
    const struct series_key *key = &change->key;
    struct storage_statement *statement;
    int64_t chart = 0;
    int64_t number;
    writer->strip = attempt->tail;
    enum status status = attempt->tail != 0
                             ? STATUS_OK
                             : series_strip_make(writer->connection, change->now, &writer->strip);
    if (status == STATUS_OK) {
        status = series_strip_adopt(writer->connection, writer->strip);
    }
    if (status == STATUS_OK) {
        status = rows_prepare(writer->connection, "chart_ensure", &statement, ROW_TEXT(key->owner),
                              ROW_TEXT(key->chart), ROW_INTEGER(change->now));
    }
    if (status == STATUS_OK) {
        status = series_return_integer(statement, &chart);
    }
    if (status == STATUS_OK) {
        status = storage_prepare(writer->connection, "series_replace", &statement);
    }
    if (status != STATUS_OK) {
        return status;
    }
    change->point_count = (int64_t)change->points->count;
    storage_bind_integer(statement, 1, chart);
    storage_bind_integer(statement, 2, key->pane);
    storage_bind_text(statement, 3, key->id);
    storage_bind_text(statement, 4, change->type);
    storage_bind_slice(statement, 5, change->options);
    storage_bind_integer(statement, 6, change->point_count);
    storage_bind_integer(statement, 7, change->points->has_fractions);
    storage_bind_integer(statement, 8, make_stamp());
    storage_bind_integer(statement, 9, writer->strip);
    status = series_return_integer(statement, &number);
    return status == STATUS_OK ? write_points(writer) : status;
}

/* The newest point must be before `time`. STATUS_INVALID otherwise. */
static enum status check_end(struct writer *writer, double time)
{
    struct storage_statement *statement;
    enum status status =
        rows_prepare(writer->connection, "block_last", &statement, ROW_INTEGER(writer->strip));
    if (status == STATUS_OK) {
        status = storage_step(statement);
    }
    if (status == STATUS_OK && storage_double(statement, 0) >= time) {
        status = STATUS_INVALID;
    }
    storage_finish(statement);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* What append and upsert find before they write. */
static enum status find_target(struct writer *writer, struct series_change *change, int64_t *number,
                               int64_t *chart)
{
    const struct series_key *key = &change->key;
    struct storage_statement *statement;
    enum status status =
        rows_prepare(writer->connection, "series_find", &statement, ROW_TEXT(key->owner),
                     ROW_TEXT(key->chart), ROW_INTEGER(key->pane), ROW_TEXT(key->id));
    if (status == STATUS_OK) {
        status = storage_step(statement);
    }
    if (status == STATUS_OK) {
        *number = storage_integer(statement, 0);
        *chart = storage_integer(statement, 1);
        change->point_count = storage_integer(statement, 6);
        writer->strip = storage_integer(statement, 10);
        if (point_kind_of(storage_text(statement, 4).data) != point_kind_of(change->type)) {
            status = STATUS_CONFLICT;
        }
    }
    storage_finish(statement);
    return status;
}

/* Takes the prepared blocks over. STATUS_BUSY: somebody has written among them meanwhile. */
static enum status join_tail(struct writer *writer, const struct attempt *attempt)
{
    const struct points *points = attempt->change->points;
    enum status status = check_end(writer, points->items[attempt->head].time);
    if (status == STATUS_INVALID) {
        return STATUS_BUSY;
    }
    if (status == STATUS_OK) {
        status = series_strip_adopt(writer->connection, attempt->tail);
    }
    if (status == STATUS_OK) {
        status = rows_execute(writer->connection, "strip_join", NULL, ROW_INTEGER(attempt->tail),
                              ROW_INTEGER(writer->strip),
                              ROW_INTEGER(attempt->change->point_count + writer->added));
    }
    writer->added += (int64_t)(points->count - attempt->head);
    return status;
}

static enum status extend(struct writer *writer, const struct attempt *attempt)
{
    struct series_change *change = attempt->change;
    int64_t number = 0;
    int64_t chart = 0;
    enum status status = find_target(writer, change, &number, &chart);
    if (status != STATUS_OK || change->points->count == 0) {
        return status;
    }
    if (change->mode == SERIES_APPEND) {
        status = check_end(writer, change->points->items[0].time);
    }
    if (status == STATUS_OK) {
        status = write_points(writer);
    }
    if (status == STATUS_OK && attempt->tail != 0) {
        status = join_tail(writer, attempt);
    }
    struct storage_statement *statement;
    if (status == STATUS_OK) {
        status =
            rows_prepare(writer->connection, "series_change", &statement, ROW_INTEGER(number),
                         ROW_INTEGER(writer->added), ROW_INTEGER(change->points->has_fractions),
                         ROW_INTEGER(make_stamp()));
    }
    if (status == STATUS_OK) {
        status = series_return_integer(statement, &change->point_count);
    }
    if (status == STATUS_OK) {
        status = rows_execute(writer->connection, "chart_touch", NULL, ROW_INTEGER(chart),
                              ROW_INTEGER(change->now));
    }
    return status;
}

static enum status work_write(struct storage_connection *connection, void *context)
{
    const struct attempt *attempt = context;
    const struct series_change *change = attempt->change;
    struct chart_quota before;
    struct writer *writer = memory_allocate(sizeof(*writer));
    if (writer == NULL) {
        return STATUS_NO_MEMORY;
    }
    writer->connection = connection;
    writer->points = change->points->items;
    writer->count = attempt->head;
    writer->unshifted = SERIES_FROM_START;
    series_encoder_init(&writer->encoder);
    buffer_init(&writer->old, OLD_MAXIMUM);
    enum status status = read_holdings(writer, &change->key, &before);
    if (status == STATUS_OK) {
        status =
            change->mode == SERIES_REPLACE ? replace(writer, attempt) : extend(writer, attempt);
    }
    if (status == STATUS_OK) {
        status = check_quota(writer, change, &before);
    }
    buffer_release(&writer->old);
    series_encoder_release(&writer->encoder);
    memory_release(writer);
    return status;
}

/* --- Large writes ------------------------------------------------------------------------- */

static size_t measure(const struct points *points, size_t from)
{
    size_t bytes = 0;
    for (size_t i = from; i < points->count; i++) {
        bytes += points->items[i].length;
    }
    return bytes;
}

/* Where the points begin that only fill new blocks behind those that the series has now. */
static enum status find_tail(struct storage *storage, const struct series_change *change,
                             size_t *head)
{
    const struct points *points = change->points;
    struct storage_statement *statement;
    const struct series_key *key = &change->key;
    *head = 0;
    if (change->mode == SERIES_REPLACE) {
        return STATUS_OK;
    }
    enum status status = rows_find(storage, "series_last_block", &statement, ROW_TEXT(key->owner),
                                   ROW_TEXT(key->chart), ROW_INTEGER(key->pane), ROW_TEXT(key->id));
    if (status == STATUS_OK) {
        double last_time = storage_double(statement, 0);
        while (*head < points->count && points->items[*head].time <= last_time) {
            ++*head;
        }
        *head += (size_t)(SERIES_BLOCK_POINTS - storage_integer(statement, 1));
        *head = *head < points->count ? *head : points->count;
    }
    storage_finish(statement);
    /* That there is no such series is for the write itself to say. */
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status series_write(struct storage *storage, struct series_change *change)
{
    size_t part_bytes = change->part_bytes > 0 ? change->part_bytes : SERIES_PART_BYTES;
    struct attempt attempt = {.change = change};
    enum status status = STATUS_OK;
    if (measure(change->points, 0) > part_bytes) {
        status = find_tail(storage, change, &attempt.head);
        if (status == STATUS_OK && measure(change->points, attempt.head) > part_bytes) {
            status = series_strip_prepare(storage, change->points->items + attempt.head,
                                          change->points->count - attempt.head, part_bytes,
                                          change->now, &attempt.tail);
        }
    }
    if (attempt.tail == 0) {
        attempt.head = change->points->count;
    }
    if (status == STATUS_OK) {
        status = rows_transaction(storage, work_write, &attempt);
    }
    if (status != STATUS_OK && attempt.tail != 0) {
        series_strip_abandon(storage, attempt.tail);
    }
    if (status == STATUS_BUSY && attempt.tail != 0) {
        attempt = (struct attempt){.change = change, .head = change->points->count};
        status = rows_transaction(storage, work_write, &attempt);
    }
    return status;
}
