/*
 * segment/lease: elections and counted places.
 *
 * Region: one lock, then the elected leases, then the counted ones. Everything changes under the
 * lock; every state that a killed process can leave reads as "free" or as "held by a dead
 * process", so a takeover of the lock needs no repair.
 */
#include "segment/lease.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/random.h"

#define ELECTED_MAXIMUM          32
#define COUNTED_MAXIMUM          16
#define PLACE_MAXIMUM            64
#define NAME_SIZE                32
#define NANOSECONDS_PER_MS       UINT64_C(1000000)
#define WAIT_MINIMUM_NANOSECONDS UINT64_C(500000)
#define WAIT_SPREAD_NANOSECONDS  UINT64_C(1500000)

/* A process as one word, so that it is written whole; 0 = nobody (generations start at 1). */
static uint64_t pack_process(struct segment_process process)
{
    return (uint64_t)process.generation << 32 | process.slot;
}

static struct segment_process unpack_process(uint64_t word)
{
    return (struct segment_process){.slot = (uint32_t)word, .generation = (uint32_t)(word >> 32)};
}

struct elected_lease {
    char name[NAME_SIZE]; /* "" = unused */
    uint64_t holder;
    uint64_t until_boot_nanoseconds;
    uint64_t reserved[2];
};

struct counted_lease {
    char name[NAME_SIZE];
    uint64_t reserved[4];
    uint64_t holders[PLACE_MAXIMUM];
};

struct lease_region {
    struct segment_lock lock;
    uint64_t reserved[7];
    struct elected_lease elected[ELECTED_MAXIMUM];
    struct counted_lease counted[COUNTED_MAXIMUM];
};

const struct segment_region lease_segment_region = {
    .name = "lease",
    .size = sizeof(struct lease_region),
    .schema = 1,
};

static struct lease_region *find_region(struct segment *segment)
{
    return segment_find(segment, lease_segment_region.name);
}

/* Whether the entry is `name`, naming it if it is unused. The first byte is written last, so a
 * half-written name reads as unused. */
static bool claim_name(char entry[NAME_SIZE], const char *name)
{
    if (entry[0] == '\0') {
        size_t length = strlen(name);
        memset(entry + 1, 0, NAME_SIZE - 1);
        memcpy(entry + 1, name + 1, length - 1);
        atomic_signal_fence(memory_order_release);
        entry[0] = name[0];
        return true;
    }
    return strcmp(entry, name) == 0;
}

static bool is_name(const char *name)
{
    size_t length = strnlen(name, NAME_SIZE);
    return length > 0 && length < NAME_SIZE;
}

static struct elected_lease *find_elected(struct lease_region *region, const char *name)
{
    for (size_t i = 0; is_name(name) && i < ELECTED_MAXIMUM; i++) {
        if (claim_name(region->elected[i].name, name)) {
            return &region->elected[i];
        }
    }
    return NULL;
}

static struct counted_lease *find_counted(struct lease_region *region, const char *name)
{
    for (size_t i = 0; is_name(name) && i < COUNTED_MAXIMUM; i++) {
        if (claim_name(region->counted[i].name, name)) {
            return &region->counted[i];
        }
    }
    return NULL;
}

bool lease_elect(struct segment *segment, const char *name, uint64_t milliseconds)
{
    struct segment_process self = segment_self(segment);
    if (self.slot >= SEGMENT_PROCESS_MAXIMUM) {
        return false;
    }
    const uint64_t mine = pack_process(self);
    struct lease_region *region = find_region(segment);
    bool elected = false;
    segment_lock_acquire(segment, &region->lock);
    struct elected_lease *lease = find_elected(region, name);
    if (lease != NULL) {
        uint64_t now = clock_boot_nanoseconds();
        uint64_t holder = lease->holder;
        elected = holder == mine || holder == 0 || now >= lease->until_boot_nanoseconds ||
                  !segment_process_alive(segment, unpack_process(holder));
        if (elected) {
            /* In this order a death in between leaves an expired lease. */
            lease->until_boot_nanoseconds = 0;
            atomic_signal_fence(memory_order_release);
            lease->holder = mine;
            atomic_signal_fence(memory_order_release);
            lease->until_boot_nanoseconds = now + milliseconds * NANOSECONDS_PER_MS;
        }
    }
    segment_lock_release(segment, &region->lock);
    return elected;
}

void lease_resign(struct segment *segment, const char *name)
{
    struct lease_region *region = find_region(segment);
    segment_lock_acquire(segment, &region->lock);
    struct elected_lease *lease = find_elected(region, name);
    if (lease != NULL && lease->holder == pack_process(segment_self(segment))) {
        lease->holder = 0;
    }
    segment_lock_release(segment, &region->lock);
}

static enum status try_place(struct segment *segment, const char *name, unsigned places,
                             unsigned *place)
{
    struct lease_region *region = find_region(segment);
    enum status status = STATUS_BUSY;
    segment_lock_acquire(segment, &region->lock);
    struct counted_lease *lease = find_counted(region, name);
    if (lease == NULL) {
        status = STATUS_TOO_LARGE;
        goto out;
    }
    for (unsigned i = 0; i < places; i++) {
        uint64_t holder = lease->holders[i];
        if (holder == 0 || !segment_process_alive(segment, unpack_process(holder))) {
            lease->holders[i] = pack_process(segment_self(segment));
            *place = i;
            status = STATUS_OK;
            goto out;
        }
    }
out:
    segment_lock_release(segment, &region->lock);
    return status;
}

enum status lease_take_place(struct segment *segment, const char *name, unsigned places,
                             uint64_t timeout_milliseconds, unsigned *place)
{
    if (places == 0 || places > PLACE_MAXIMUM) {
        return STATUS_INVALID;
    }
    if (segment_self(segment).slot >= SEGMENT_PROCESS_MAXIMUM) {
        return STATUS_UNAVAILABLE;
    }
    const uint64_t start = clock_monotonic_nanoseconds();
    const uint64_t timeout = timeout_milliseconds * NANOSECONDS_PER_MS;
    for (;;) {
        enum status status = try_place(segment, name, places, place);
        if (status != STATUS_BUSY) {
            return status;
        }
        uint64_t waited = clock_monotonic_nanoseconds() - start;
        if (waited >= timeout) {
            return STATUS_TIMEOUT;
        }
        /* Random, so that waiters of several processes do not march in step. */
        uint64_t pause = WAIT_MINIMUM_NANOSECONDS + random_below(WAIT_SPREAD_NANOSECONDS);
        if (pause > timeout - waited) {
            pause = timeout - waited;
        }
        struct timespec nap = {.tv_nsec = (long)pause};
        nanosleep(&nap, NULL);
    }
}

void lease_return_place(struct segment *segment, const char *name, unsigned place)
{
    struct lease_region *region = find_region(segment);
    segment_lock_acquire(segment, &region->lock);
    struct counted_lease *lease = find_counted(region, name);
    if (lease != NULL && place < PLACE_MAXIMUM &&
        lease->holders[place] == pack_process(segment_self(segment))) {
        lease->holders[place] = 0;
    }
    segment_lock_release(segment, &region->lock);
}
