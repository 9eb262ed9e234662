/*
 * stores/series_read: a run of consecutive points of a series.
 *
 * One statement finds the series and walks its blocks from one end of the window, so all rows are
 * of one moment. Of each block the part inside the window is copied to the arena; walking stops as
 * soon as there are enough points. Walked backwards, the pieces are turned around at the end.
 */
#include <string.h>

#include "stores/rows.h"
#include "stores/series.h"
#include "stores/series_block.h"

#define FIRST_PIECES 4

struct walk {
    struct arena *arena;
    const struct series_window *window;
    struct series_range *range;
    size_t capacity;
    int64_t left;      /* points still wanted */
    size_t bytes_left; /* for them */
    bool has_begun;    /* indices of the range are known */
};

static enum status add_piece(struct walk *walk, struct slice text)
{
    struct series_range *range = walk->range;
    if (range->piece_count == walk->capacity) {
        size_t capacity = walk->capacity == 0 ? FIRST_PIECES : 2 * walk->capacity;
        struct slice *pieces = arena_allocate(walk->arena, capacity * sizeof(*pieces));
        if (pieces == NULL) {
            return STATUS_NO_MEMORY;
        }
        if (range->piece_count > 0) {
            memcpy(pieces, range->pieces, range->piece_count * sizeof(*pieces));
        }
        range->pieces = pieces;
        walk->capacity = capacity;
    }
    const char *copy = arena_copy(walk->arena, text.data, text.length);
    if (copy == NULL) {
        return STATUS_NO_MEMORY;
    }
    range->pieces[range->piece_count++] = (struct slice){.data = copy, .length = text.length};
    range->length += text.length;
    return STATUS_OK;
}

/* Adds points from..to-1 of the block to the near or far end of the range. */
static enum status add_points(struct walk *walk, const struct series_block *block, size_t from,
                              size_t to)
{
    struct series_range *range = walk->range;
    bool forward = walk->window->oldest_first;
    int64_t start = block->first_index + (int64_t)from;
    int64_t end = block->first_index + (int64_t)to;
    if (!walk->has_begun) {
        range->start_index = forward ? start : end;
        range->end_index = range->start_index;
        walk->has_begun = true;
    }
    if (from == to) {
        return STATUS_OK;
    }
    bool is_first = range->piece_count == 0;
    if (forward || is_first) {
        range->end_index = end;
        range->end_time = series_block_time(block, to - 1);
    }
    if (!forward || is_first) {
        range->start_index = start;
        range->start_time = series_block_time(block, from);
    }
    walk->left -= (int64_t)(to - from);
    struct slice text;
    enum status status = series_block_slice(block, from, to, &text);
    if (status != STATUS_OK) {
        return status;
    }
    /* Pieces are joined by a comma. */
    walk->bytes_left -= text.length < walk->bytes_left ? text.length + 1 : walk->bytes_left;
    return add_piece(walk, text);
}

/* Cuts from..to by points and bytes, at the end that is far from where the walk began. A range has
 * one point at least. *is_cut when something was left. */
static enum status cut(const struct walk *walk, const struct series_block *block, size_t *from,
                       size_t *to, bool *is_cut)
{
    bool forward = walk->window->oldest_first;
    size_t wanted = *to - *from;
    size_t count = (int64_t)wanted > walk->left ? (size_t)walk->left : wanted;
    size_t fitting = count;
    enum status status = STATUS_OK;
    if (count > 0) {
        status =
            series_block_fit(block, forward ? *from : *to - count, forward ? *from + count : *to,
                             walk->bytes_left, !forward, &fitting);
        if (fitting == 0 && walk->range->piece_count == 0) {
            fitting = 1;
        }
    }
    *(forward ? to : from) = forward ? *from + fitting : *to - fitting;
    *is_cut = fitting < wanted;
    return status;
}

/* Takes what is wanted of one block; *is_complete when no further block can have any. */
static enum status take_block(struct walk *walk, const struct series_block *block,
                              bool *is_complete)
{
    const struct series_window *window = walk->window;
    size_t from = series_block_find(block, window->from);
    size_t to = series_block_find(block, window->before);
    if (window->oldest_first) {
        to = to < from ? from : to;
        *is_complete = to < block->count;
        if (from == block->count) {
            /* The window begins behind this block. */
            return STATUS_OK;
        }
    } else {
        from = from > to ? to : from;
        *is_complete = from > 0;
    }
    bool is_cut;
    enum status status = cut(walk, block, &from, &to, &is_cut);
    if (status == STATUS_OK) {
        status = add_points(walk, block, from, to);
    }
    *is_complete = *is_complete || is_cut || walk->left == 0;
    return status;
}

static enum status walk_blocks(struct walk *walk, struct storage_statement *statement)
{
    bool is_complete = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !is_complete && !storage_is_null(statement, SERIES_COLUMNS)) {
        struct series_block block;
        status = series_block_load(&block, statement, SERIES_COLUMNS, SERIES_COLUMNS + 2);
        if (status == STATUS_OK) {
            status = take_block(walk, &block, &is_complete);
        }
        /* The first block of all needs no look behind it. */
        if (status == STATUS_OK && !walk->window->oldest_first && block.first_index == 0) {
            break;
        }
        if (status == STATUS_OK && !is_complete) {
            status = storage_step(statement);
        }
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static void turn_around(struct series_range *range)
{
    for (size_t low = 0, high = range->piece_count; low + 1 < high; low++, high--) {
        struct slice piece = range->pieces[low];
        range->pieces[low] = range->pieces[high - 1];
        range->pieces[high - 1] = piece;
    }
}

enum status series_read(struct storage *storage, struct arena *arena, const struct series_key *key,
                        const struct series_window *window, struct series_range *out)
{
    *out = (struct series_range){0};
    struct walk walk = {.arena = arena,
                        .window = window,
                        .range = out,
                        .left = window->limit,
                        .bytes_left = window->bytes > 0 ? window->bytes : SIZE_MAX};
    struct storage_connection *connection;
    struct storage_statement *statement = NULL;
    enum status status = storage_connect(storage, &connection);
    if (status == STATUS_OK) {
        status = rows_prepare(connection,
                              window->oldest_first ? "series_read_from" : "series_read_before",
                              &statement, ROW_TEXT(key->owner), ROW_TEXT(key->chart),
                              ROW_INTEGER(key->pane), ROW_TEXT(key->id));
    }
    if (status == STATUS_OK) {
        storage_bind_double(statement, 5, window->oldest_first ? window->from : window->before);
        status = storage_step(statement);
    }
    if (status == STATUS_OK) {
        status = series_load(statement, arena, &out->series);
    }
    if (status == STATUS_OK) {
        status = walk_blocks(&walk, statement);
    }
    storage_finish(statement);
    if (status == STATUS_OK && window->oldest_first && !walk.has_begun) {
        out->start_index = out->series.point_count;
        out->end_index = out->series.point_count;
    }
    if (status == STATUS_OK && !window->oldest_first) {
        turn_around(out);
    }
    return status;
}
