/*
 * segment/board: named last values, written by one and read by all.
 *
 * Region: the writers' lock, the number of named entries, then the entries. Names are given in
 * table order and never taken back. The body of an entry is an array of atomic words under a
 * sequence number that is odd while somebody writes; a reader that sees it odd or changed tries
 * again, and gives up after a bounded number of tries (a writer killed half-way).
 */
#include "segment/board.h"

#include <sched.h>
#include <string.h>

#include "base/clock.h"

#define READ_TRIES          256
#define TRIES_BEFORE_YIELDS 64

struct board_body {
    int64_t value;
    double number;
    int64_t wall_milliseconds;
    uint64_t boot_nanoseconds;
    char text[BOARD_TEXT_SIZE];
};

#define BODY_WORDS (sizeof(struct board_body) / sizeof(uint64_t))

struct board_slot {
    char name[BOARD_NAME_SIZE];
    _Atomic uint64_t sequence; /* 0 = never written */
    _Atomic uint64_t body[BODY_WORDS];
    uint64_t reserved[7];
};

struct board_region {
    struct segment_lock lock;
    _Atomic uint64_t count;
    uint64_t reserved[6];
    struct board_slot slots[BOARD_ENTRY_MAXIMUM];
};

_Static_assert(sizeof(struct board_body) % sizeof(uint64_t) == 0, "copied in words");
_Static_assert(sizeof(struct board_slot) == 320, "the layout of the region is fixed");

const struct segment_region board_segment_region = {
    .name = "board",
    .size = sizeof(struct board_region),
    .schema = 1,
};

static struct board_region *find_region(struct segment *segment)
{
    return segment_find(segment, board_segment_region.name);
}

static struct board_slot *find_slot(struct board_region *region, const char *name)
{
    uint64_t count = atomic_load_explicit(&region->count, memory_order_acquire);
    for (uint64_t i = 0; i < count && i < BOARD_ENTRY_MAXIMUM; i++) {
        if (strncmp(region->slots[i].name, name, BOARD_NAME_SIZE) == 0) {
            return &region->slots[i];
        }
    }
    return NULL;
}

/* Under the lock. A name that is only half there is not counted yet and gets overwritten. */
static struct board_slot *add_slot(struct board_region *region, const char *name, size_t length)
{
    uint64_t count = atomic_load_explicit(&region->count, memory_order_relaxed);
    if (count >= BOARD_ENTRY_MAXIMUM) {
        return NULL;
    }
    struct board_slot *slot = &region->slots[count];
    memset(slot->name, 0, sizeof slot->name);
    memcpy(slot->name, name, length);
    atomic_store_explicit(&region->count, count + 1, memory_order_release);
    return slot;
}

static void write_body(struct board_slot *slot, const struct board_body *body)
{
    uint64_t words[BODY_WORDS];
    memcpy(words, body, sizeof words);
    uint64_t sequence = atomic_load_explicit(&slot->sequence, memory_order_relaxed);
    /* Still odd when the last writer was killed: go on to the next odd number. */
    uint64_t odd = sequence + (sequence % 2 == 0 ? 1 : 2);
    atomic_store_explicit(&slot->sequence, odd, memory_order_relaxed);
    for (size_t i = 0; i < BODY_WORDS; i++) {
        /* Release: nobody sees a new word under an even sequence from before. */
        atomic_store_explicit(&slot->body[i], words[i], memory_order_release);
    }
    atomic_store_explicit(&slot->sequence, odd + 1, memory_order_release);
}

static bool read_body(struct board_slot *slot, struct board_body *body)
{
    uint64_t words[BODY_WORDS];
    for (int i = 0; i < READ_TRIES; i++) {
        uint64_t before = atomic_load_explicit(&slot->sequence, memory_order_acquire);
        if (before == 0) {
            return false;
        }
        if (before % 2 == 0) {
            for (size_t word = 0; word < BODY_WORDS; word++) {
                words[word] = atomic_load_explicit(&slot->body[word], memory_order_acquire);
            }
            if (atomic_load_explicit(&slot->sequence, memory_order_relaxed) == before) {
                memcpy(body, words, sizeof words);
                return true;
            }
        }
        if (i >= TRIES_BEFORE_YIELDS) {
            sched_yield();
        }
    }
    return false;
}

enum status board_write(struct segment *segment, const char *name, int64_t value, double number,
                        const char *text)
{
    size_t length = strnlen(name, BOARD_NAME_SIZE);
    if (length == 0) {
        return STATUS_INVALID;
    }
    if (length == BOARD_NAME_SIZE) {
        return STATUS_TOO_LARGE;
    }
    struct board_body body = {
        .value = value,
        .number = number,
        .wall_milliseconds = clock_wall_milliseconds(),
        .boot_nanoseconds = clock_boot_nanoseconds(),
    };
    if (text != NULL) {
        size_t cut = strnlen(text, sizeof body.text - 1);
        /* Not in the middle of a UTF-8 character. */
        while (cut > 0 && text[cut] != '\0' && ((unsigned char)text[cut] & 0xC0) == 0x80) {
            cut--;
        }
        memcpy(body.text, text, cut);
    }
    struct board_region *region = find_region(segment);
    enum status status = STATUS_OK;
    segment_lock_acquire(segment, &region->lock);
    struct board_slot *slot = find_slot(region, name);
    if (slot == NULL) {
        slot = add_slot(region, name, length);
    }
    if (slot == NULL) {
        status = STATUS_TOO_LARGE;
    } else {
        write_body(slot, &body);
    }
    segment_lock_release(segment, &region->lock);
    return status;
}

static bool fill_entry(struct board_slot *slot, struct board_entry *out)
{
    struct board_body body;
    if (!read_body(slot, &body)) {
        return false;
    }
    *out = (struct board_entry){
        .value = body.value,
        .number = body.number,
        .wall_milliseconds = body.wall_milliseconds,
        .boot_nanoseconds = body.boot_nanoseconds,
    };
    memcpy(out->name, slot->name, sizeof out->name);
    memcpy(out->text, body.text, sizeof out->text);
    out->text[sizeof out->text - 1] = '\0';
    return true;
}

bool board_read(struct segment *segment, const char *name, struct board_entry *out)
{
    struct board_slot *slot = find_slot(find_region(segment), name);
    return slot != NULL && fill_entry(slot, out);
}

size_t board_list(struct segment *segment, const char *prefix, struct board_entry *out,
                  size_t maximum)
{
    struct board_region *region = find_region(segment);
    uint64_t count = atomic_load_explicit(&region->count, memory_order_acquire);
    size_t filled = 0;
    size_t length = strlen(prefix);
    for (uint64_t i = 0; i < count && i < BOARD_ENTRY_MAXIMUM && filled < maximum; i++) {
        if (strncmp(region->slots[i].name, prefix, length) == 0 &&
            fill_entry(&region->slots[i], &out[filled])) {
            filled++;
        }
    }
    return filled;
}
