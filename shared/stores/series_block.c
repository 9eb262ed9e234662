/*
 * stores/series_block: see the header for the layout.
 *
 * Own code because no library has this format: it is made so that what the database returns can be
 * sent as it is.
 */
#include "stores/series_block.h"

#include <endian.h>
#include <string.h>

#define PAYLOAD_MAXIMUM ((size_t)SERIES_BLOCK_POINTS * (POINT_TEXT_MAXIMUM + 1))

enum status series_block_load(struct series_block *block, struct storage_statement *statement,
                              int count_column, int blob_column)
{
    int64_t count = storage_integer(statement, count_column + 1);
    *block = (struct series_block){
        .first_index = storage_integer(statement, count_column),
        .count = (size_t)count,
        .times = storage_blob(statement, blob_column),
        .starts = storage_blob(statement, blob_column + 1),
        .payload = storage_blob(statement, blob_column + 2),
    };
    if (count < 1 || count > SERIES_BLOCK_POINTS || block->first_index < 0 ||
        block->times.length != block->count * sizeof(double) ||
        block->starts.length != block->count * sizeof(uint32_t)) {
        return STATUS_INTERNAL;
    }
    return STATUS_OK;
}

double series_block_time(const struct series_block *block, size_t index)
{
    uint64_t bits;
    memcpy(&bits, block->times.data + index * sizeof(bits), sizeof(bits));
    bits = le64toh(bits);
    double time;
    memcpy(&time, &bits, sizeof(time));
    return time;
}

static uint32_t start_of(const struct series_block *block, size_t index)
{
    uint32_t start;
    memcpy(&start, block->starts.data + index * sizeof(start), sizeof(start));
    return le32toh(start);
}

size_t series_block_find(const struct series_block *block, double time)
{
    size_t low = 0;
    size_t high = block->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (series_block_time(block, middle) < time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

enum status series_block_slice(const struct series_block *block, size_t from, size_t to,
                               struct slice *out)
{
    size_t start = start_of(block, from);
    size_t end = block->payload.length;
    if (to < block->count) {
        /* A comma stands before the next point. */
        end = start_of(block, to);
        end = end > 0 ? end - 1 : 0;
    }
    if (start >= end || end > block->payload.length) {
        return STATUS_INTERNAL;
    }
    *out = (struct slice){.data = block->payload.data + start, .length = end - start};
    return STATUS_OK;
}

enum status series_block_fit(const struct series_block *block, size_t from, size_t to, size_t bytes,
                             bool from_end, size_t *out)
{
    size_t low = 0;
    size_t high = to - from;
    while (low < high) {
        size_t middle = high - (high - low) / 2;
        struct slice text;
        enum status status = from_end ? series_block_slice(block, to - middle, to, &text)
                                      : series_block_slice(block, from, from + middle, &text);
        if (status != STATUS_OK) {
            return status;
        }
        if (text.length <= bytes) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    *out = low;
    return STATUS_OK;
}

void series_encoder_init(struct series_encoder *encoder)
{
    buffer_init(&encoder->payload, PAYLOAD_MAXIMUM);
}

void series_encoder_release(struct series_encoder *encoder)
{
    buffer_release(&encoder->payload);
}

enum status series_encoder_run(struct series_encoder *encoder, const struct point *points,
                               size_t count, struct series_block *out)
{
    size_t length = count - 1;
    for (size_t i = 0; i < count; i++) {
        length += points[i].length;
    }
    buffer_reset(&encoder->payload);
    char *payload = buffer_reserve(&encoder->payload, length);
    if (payload == NULL) {
        return encoder->payload.status;
    }
    char *at = payload;
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            *at++ = ',';
        }
        uint64_t bits;
        memcpy(&bits, &points[i].time, sizeof(bits));
        bits = htole64(bits);
        memcpy(&encoder->times[i], &bits, sizeof(bits));
        encoder->starts[i] = htole32((uint32_t)(at - payload));
        memcpy(at, points[i].text, points[i].length);
        at += points[i].length;
    }
    buffer_commit(&encoder->payload, length);
    *out = (struct series_block){
        .count = count,
        .times = {.data = (const char *)encoder->times, .length = count * sizeof(double)},
        .starts = {.data = (const char *)encoder->starts, .length = count * sizeof(uint32_t)},
        .payload = {.data = payload, .length = length},
    };
    return STATUS_OK;
}
