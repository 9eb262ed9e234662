/*
 * metrics/table: finds series in the segment and makes them.
 *
 * A series is found by the 128-bit keyed hash of its family and label values; equal hashes are
 * equal series. To make one, a process claims the first free word of the probe sequence with its
 * identity, writes the record and then turns the word into a pointer to it. Whoever meets a
 * claimed word waits for it, because it may become the very series he looks for; if the claimer
 * is dead he takes the claim over. A death in between costs at most one unused record.
 */
#include "metrics/table.h"

#include <sched.h>
#include <string.h>

#include "base/text.h"
#include "log/log.h"

/*
 * Index words. Ready: bit 63, 47 bits of the hash, 16 bits of heap unit. Claimed: bit 62, the
 * claimer's generation and slot.
 */
#define WORD_READY     (UINT64_C(1) << 63)
#define WORD_CLAIMED   (UINT64_C(1) << 62)
#define UNIT_MASK      UINT64_C(0xffff)
#define HASH_MASK      (~(UNIT_MASK | WORD_READY))
#define WAIT_TRIES     4096
#define TRIES_NO_YIELD 64

_Static_assert(METRICS_HEAP_UNITS - 1 <= UNIT_MASK, "a unit fits an index word");

struct series_key {
    uint64_t hash[2];
    size_t length;
    /* the family, then each value with a NUL: what is hashed, and from values on what is stored */
    struct {
        uint16_t family;
        char values[METRICS_LABEL_MAXIMUM * (METRICS_VALUE_SIZE + 1)];
    } text;
};

/* Length of `value` as it is kept: cut before the character that would pass the maximum. */
static size_t measure_value(const char *value)
{
    size_t length = strnlen(value, METRICS_VALUE_SIZE);
    if (value[length] == '\0') {
        return length;
    }
    /* Back to the first byte of the character that the maximum splits, if it does. */
    size_t cut = length;
    while (cut > 0 && length - cut < 4 && ((unsigned char)value[cut] & 0xC0) == 0x80) {
        cut--;
    }
    return ((unsigned char)value[cut] & 0xC0) == 0xC0 ? cut : length;
}

static bool is_ascii(const char *text, size_t length)
{
    unsigned char seen = 0;
    for (size_t i = 0; i < length; i++) {
        seen |= (unsigned char)text[i];
    }
    return seen < 0x80;
}

/* Length of the UTF-8 character at `text`, 0 if there is none. */
static size_t measure_character(const char *text, size_t length)
{
    for (size_t size = 1; size <= 4 && size <= length; size++) {
        if (text_is_utf8(text, size)) {
            return size;
        }
    }
    return 0;
}

static void replace_bad_bytes(char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t size = measure_character(text + i, length - i);
        if (size == 0) {
            text[i] = '?';
            size = 1;
        }
        i += size;
    }
}

static void make_key(const struct metrics *metrics, enum metric metric, const char *const *labels,
                     struct series_key *key)
{
    key->text.family = (uint16_t)metric;
    char *end = key->text.values;
    for (size_t i = metrics_count_labels(&metrics_families[metric]); i > 0; i--) {
        const char *value = *labels != NULL ? *labels++ : "";
        size_t length = measure_value(value);
        memcpy(end, value, length);
        if (!is_ascii(end, length)) {
            replace_bad_bytes(end, length);
        }
        end[length] = '\0';
        end += length + 1;
    }
    key->length = (size_t)(end - key->text.values);
    struct siphash_value hash =
        siphash_compute(&metrics->key, &key->text, sizeof key->text.family + key->length);
    key->hash[0] = hash.words[0];
    key->hash[1] = hash.words[1];
}

static struct metrics_series *series_at(struct metrics_region *region, uint64_t unit)
{
    return (struct metrics_series *)(void *)&region->heap[unit * METRICS_UNIT];
}

struct metrics_series *metrics_series_of_word(struct metrics_region *region, uint64_t word)
{
    if ((word & WORD_READY) == 0 || (word & UNIT_MASK) >= METRICS_HEAP_UNITS) {
        return NULL;
    }
    return series_at(region, word & UNIT_MASK);
}

static uint64_t ready_word(const struct series_key *key, uint64_t unit)
{
    return WORD_READY | (key->hash[0] & HASH_MASK) | unit;
}

static struct metrics_series *match_word(struct metrics_region *region,
                                         const struct series_key *key, uint64_t word)
{
    if ((word & ~UNIT_MASK) != ready_word(key, 0)) {
        return NULL;
    }
    struct metrics_series *series = metrics_series_of_word(region, word);
    bool same =
        series != NULL && series->hash[0] == key->hash[0] && series->hash[1] == key->hash[1];
    return same ? series : NULL;
}

static uint64_t claim_word(struct segment_process process)
{
    return WORD_CLAIMED | (uint64_t)process.generation << 8 | process.slot;
}

static bool is_claimer_alive(struct metrics *metrics, uint64_t word)
{
    struct segment_process claimer = {.slot = (uint32_t)(word & 0xff),
                                      .generation = (uint32_t)(word >> 8)};
    return segment_process_alive(metrics->segment, claimer);
}

/* Waits while `word` is a claim of a live process; returns what the index holds then. */
static uint64_t await_claim(struct metrics *metrics, _Atomic uint64_t *place, uint64_t word)
{
    for (int i = 0; i < WAIT_TRIES && (word & WORD_CLAIMED) != 0 && (word & WORD_READY) == 0; i++) {
        if (i > TRIES_NO_YIELD) {
            if (!is_claimer_alive(metrics, word)) {
                break;
            }
            sched_yield();
        }
        word = atomic_load_explicit(place, memory_order_acquire);
    }
    return word;
}

static bool take_units(struct metrics_region *region, uint32_t count, uint32_t limit,
                       uint32_t *unit)
{
    uint32_t used = atomic_load_explicit(&region->used_units, memory_order_relaxed);
    do {
        if (used + count > limit) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&region->used_units, &used, used + count,
                                                    memory_order_relaxed, memory_order_relaxed));
    *unit = used;
    return true;
}

/* Writes the record behind a claimed word. STATUS_TOO_LARGE when there is no room. */
static enum status write_series(struct metrics_region *region, const struct series_key *key,
                                bool is_overflow, uint32_t *unit)
{
    const struct metrics_family *family = &metrics_families[key->text.family];
    size_t cells = metrics_count_cells(family);
    size_t bytes = sizeof(struct metrics_series) + cells * sizeof(uint64_t) + key->length;
    uint32_t units = (uint32_t)((bytes + METRICS_UNIT - 1) / METRICS_UNIT);
    uint32_t limit = METRICS_HEAP_UNITS - (is_overflow ? 0 : METRICS_RESERVED_UNITS);
    if (!take_units(region, units, limit, unit)) {
        return STATUS_TOO_LARGE;
    }
    struct metrics_series *series = series_at(region, *unit);
    series->hash[0] = key->hash[0];
    series->hash[1] = key->hash[1];
    series->family = key->text.family;
    series->cell_count = (uint16_t)cells;
    series->label_bytes = (uint16_t)key->length;
    series->is_overflow = is_overflow;
    memcpy((char *)&series->cells[cells], key->text.values, key->length);
    return STATUS_OK;
}

static enum status make_series(struct metrics_region *region, const struct series_key *key,
                               bool is_overflow, uint32_t *unit)
{
    _Atomic uint32_t *count = &region->family_series[key->text.family];
    uint32_t maximum = metrics_families[key->text.family].maximum_series;
    if (!is_overflow && atomic_fetch_add(count, 1) >= maximum) {
        atomic_fetch_sub(count, 1);
        return STATUS_TOO_LARGE;
    }
    enum status status = write_series(region, key, is_overflow, unit);
    if (status != STATUS_OK && !is_overflow) {
        atomic_fetch_sub(count, 1);
    }
    return status;
}

/* STATUS_NOT_FOUND (only without `create`), STATUS_TOO_LARGE or STATUS_BUSY: no series. */
static enum status find_or_make(struct metrics *metrics, const struct series_key *key, bool create,
                                bool is_overflow, struct metrics_series **out)
{
    struct metrics_region *region = metrics->region;
    struct segment_process self = {.slot = SEGMENT_PROCESS_MAXIMUM};
    size_t start = key->hash[1] % METRICS_INDEX_SIZE;
    for (size_t i = 0; i < METRICS_INDEX_SIZE; i++) {
        _Atomic uint64_t *place = &region->index[(start + i) % METRICS_INDEX_SIZE];
        uint64_t word = atomic_load_explicit(place, memory_order_acquire);
        for (;;) {
            *out = match_word(region, key, word);
            if (*out != NULL) {
                return STATUS_OK;
            }
            if ((word & WORD_READY) != 0) {
                break; /* another series: next place */
            }
            if (!create) {
                if (word == 0) {
                    return STATUS_NOT_FOUND;
                }
                break;
            }
            if (word != 0) {
                word = await_claim(metrics, place, word);
                if ((word & WORD_READY) != 0) {
                    continue;
                }
                if (word != 0 && is_claimer_alive(metrics, word)) {
                    return STATUS_BUSY; /* stopped in the middle: do not wait for ever */
                }
            }
            self = segment_self(metrics->segment);
            if (self.slot >= SEGMENT_PROCESS_MAXIMUM) {
                return STATUS_BUSY; /* others could not tell whether we are alive */
            }
            if (!atomic_compare_exchange_strong(place, &word, claim_word(self))) {
                continue;
            }
            uint32_t unit = 0;
            enum status status = make_series(region, key, is_overflow, &unit);
            /* Freeing a claim is safe: nobody has gone past it. */
            atomic_store_explicit(place, status == STATUS_OK ? ready_word(key, unit) : 0,
                                  memory_order_release);
            *out = status == STATUS_OK ? series_at(region, unit) : NULL;
            return status;
        }
    }
    return STATUS_TOO_LARGE;
}

static void tell_full(struct metrics *metrics, enum metric metric)
{
    if (atomic_exchange(&metrics->region->family_full_told[metric], 1) == 0) {
        log_write(LOG_WARNING, "metrics_series_full",
                  LOG_TEXT("family", metrics_families[metric].name),
                  LOG_INTEGER("maximum_series", metrics_families[metric].maximum_series));
    }
}

static struct metrics_series *find_overflow(struct metrics *metrics, enum metric metric)
{
    static const char *const overflow[METRICS_LABEL_MAXIMUM + 1] = {"overflow", "overflow",
                                                                    "overflow", NULL};
    struct series_key key;
    struct metrics_series *series = NULL;
    make_key(metrics, metric, overflow, &key);
    if (find_or_make(metrics, &key, true, true, &series) != STATUS_OK) {
        return NULL;
    }
    return series;
}

struct metrics_series *metrics_find_series(struct metrics *metrics, enum metric metric,
                                           const char *const *labels, bool create)
{
    struct series_key key;
    struct metrics_series *series = NULL;
    make_key(metrics, metric, labels, &key);
    enum status status = find_or_make(metrics, &key, create, false, &series);
    if (status == STATUS_OK || !create) {
        return series;
    }
    if (metric != METRIC_METRICS_DROPPED_SERIES) {
        metrics_add(metrics, METRIC_METRICS_DROPPED_SERIES, METRIC_NO_LABELS, 1);
    }
    if (status == STATUS_TOO_LARGE) {
        tell_full(metrics, metric);
    }
    return find_overflow(metrics, metric);
}
