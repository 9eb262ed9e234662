/*
 * chat/completion_mend: see the header.
 */
#include "completion_mend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct completion_edit {
    const char *at;
    size_t length;
    struct slice text;
    size_t order;
};

#define FIRST_CAPACITY 16

void completion_mend(struct completion_mender *mender, const char *at, size_t length,
                     struct slice text)
{
    if (mender->count == mender->capacity) {
        size_t capacity = mender->capacity == 0 ? FIRST_CAPACITY : 2 * mender->capacity;
        struct completion_edit *edits =
            arena_allocate(mender->arena, capacity * sizeof *mender->edits);
        if (edits == NULL) {
            mender->is_out_of_memory = true;
            return;
        }
        if (mender->count > 0) {
            memcpy(edits, mender->edits, mender->count * sizeof *edits);
        }
        mender->edits = edits;
        mender->capacity = capacity;
    }
    mender->edits[mender->count] =
        (struct completion_edit){.at = at, .length = length, .text = text, .order = mender->count};
    mender->count++;
}

static int compare(const void *left, const void *right)
{
    const struct completion_edit *a = left;
    const struct completion_edit *b = right;
    if (a->at != b->at) {
        return a->at < b->at ? -1 : 1;
    }
    return a->order < b->order ? -1 : 1;
}

static void append_as_line(struct buffer *out, const char *from, const char *until)
{
    while (from < until) {
        const char *end = from;
        while (end < until && *end != '\n' && *end != '\r') {
            end++;
        }
        buffer_append(out, from, (size_t)(end - from));
        if (end < until) {
            buffer_append_char(out, ' ');
            end++;
        }
        from = end;
    }
}

/* Whether the object ends here, so that what has just been put in is its last member. */
static bool is_end_of_object(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) {
        at++;
    }
    return at < end && *at == '}';
}

void completion_mend_apply(struct completion_mender *mender, struct slice text, struct buffer *out)
{
    const char *end = text.data + text.length;
    const char *copied = text.data;
    if (mender->count > 1) {
        qsort(mender->edits, mender->count, sizeof *mender->edits, compare);
    }
    for (size_t i = 0; i < mender->count; i++) {
        const struct completion_edit *edit = &mender->edits[i];
        if (edit->at < copied) {
            continue; /* in the middle of what went */
        }
        append_as_line(out, copied, edit->at);
        const char *until = edit->text.data + edit->text.length;
        bool is_followed = i + 1 < mender->count && edit[1].at == edit->at;
        copied = edit->at + edit->length;
        if (until > edit->text.data && until[-1] == ',' && !is_followed &&
            is_end_of_object(copied, end)) {
            until--;
        }
        append_as_line(out, edit->text.data, until);
    }
    append_as_line(out, copied, end);
}

/* --- Repairing -------------------------------------------------------------------------------- */

#define ESCAPE_LENGTH   6 /* of \uXXXX */
#define REPLACEMENT     "\xef\xbf\xbd"
#define GROWTH          ESCAPE_LENGTH /* of a control character */
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

struct repair {
    const char *at;
    const char *end;
    char *out;
    unsigned *pending;
};

static void put(struct repair *repair, const char *bytes, size_t length)
{
    memcpy(repair->out, bytes, length);
    repair->out += length;
}

static void copy(struct repair *repair, size_t length)
{
    put(repair, repair->at, length);
    repair->at += length;
}

/* The code unit of an escape \uXXXX at `at`; 0 when there is none. */
static unsigned unit_at(const char *at, const char *end)
{
    unsigned unit = 0;
    if (end - at < ESCAPE_LENGTH || at[0] != '\\' || at[1] != 'u') {
        return 0;
    }
    for (int i = 2; i < ESCAPE_LENGTH; i++) {
        const char *digits = "0123456789abcdefABCDEF";
        const char *digit = at[i] != '\0' ? strchr(digits, at[i]) : NULL;
        if (digit == NULL) {
            return 0;
        }
        unsigned value = (unsigned)(digit - digits);
        unit = unit << 4 | (value < 16 ? value : value - 6);
    }
    return unit;
}

static bool is_high(unsigned unit)
{
    return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low(unsigned unit)
{
    return unit >= 0xdc00 && unit < 0xe000;
}

/* A backslash and what belongs to it. */
static void repair_escape(struct repair *repair, bool is_first)
{
    unsigned unit = unit_at(repair->at, repair->end);
    const char *behind = repair->at + ESCAPE_LENGTH;
    if (is_high(unit) && is_low(unit_at(behind, repair->end))) {
        copy(repair, (size_t)2 * ESCAPE_LENGTH);
    } else if (is_high(unit)) {
        if (behind < repair->end && *behind == '"') {
            *repair->pending = unit;
        } else {
            put(repair, REPLACEMENT, strlen(REPLACEMENT));
        }
        repair->at = behind;
    } else if (is_low(unit)) {
        if (is_first && *repair->pending != 0) {
            char high[ESCAPE_LENGTH + 1];
            snprintf(high, sizeof high, "\\u%04x", *repair->pending & 0xffffu);
            put(repair, high, ESCAPE_LENGTH);
            put(repair, repair->at, ESCAPE_LENGTH);
            *repair->pending = 0;
        } else {
            put(repair, REPLACEMENT, strlen(REPLACEMENT));
        }
        repair->at = behind;
    } else {
        copy(repair, repair->end - repair->at >= 2 ? 2 : 1);
    }
}

static void repair_character(struct repair *repair)
{
    size_t length = text_measure_character(repair->at, (size_t)(repair->end - repair->at));
    if (length == 0) {
        put(repair, REPLACEMENT, strlen(REPLACEMENT));
        repair->at++;
    } else if ((unsigned char)*repair->at < ' ') {
        char escape[ESCAPE_LENGTH + 1];
        snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)*repair->at);
        put(repair, escape, ESCAPE_LENGTH);
        repair->at++;
    } else {
        copy(repair, length);
    }
}

/* From behind the opening quote to behind the closing one. */
static void repair_string(struct repair *repair)
{
    for (bool is_first = true; repair->at < repair->end; is_first = false) {
        if (*repair->at == '"') {
            copy(repair, 1);
            return;
        }
        if (*repair->at == '\\') {
            repair_escape(repair, is_first);
        } else {
            repair_character(repair);
        }
    }
}

enum status completion_repair(struct slice text, struct arena *arena, unsigned *pending,
                              struct slice *out)
{
    if (slice_starts_with(text, BYTE_ORDER_MARK)) {
        text.data += strlen(BYTE_ORDER_MARK);
        text.length -= strlen(BYTE_ORDER_MARK);
    }
    if (text.length > (SIZE_MAX - ESCAPE_LENGTH) / GROWTH) {
        return STATUS_TOO_LARGE;
    }
    char *room = arena_allocate(arena, text.length * GROWTH + ESCAPE_LENGTH);
    if (room == NULL) {
        return STATUS_NO_MEMORY;
    }
    struct repair repair = {
        .at = text.data, .end = text.data + text.length, .out = room, .pending = pending};
    while (repair.at < repair.end) {
        bool begins_string = *repair.at == '"';
        copy(&repair, 1);
        if (begins_string) {
            repair_string(&repair);
        }
    }
    *out = (struct slice){room, (size_t)(repair.out - room)};
    return STATUS_OK;
}
