/*
 * segment/process: the table of processes that have the segment open.
 *
 * A slot is claimed at segment_open (and by a forked child when it first needs its identity) and
 * freed at segment_close, or by whoever notices that its owner is dead. All changes happen under
 * process_lock; looking does not.
 */
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "segment/layout.h"
#include "segment/procfs.h"

#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)

enum { NOT_REGISTERED, BEING_REGISTERED, REGISTERED };

static uint64_t make_owner_word(const struct procfs_process *process)
{
    return (uint64_t)(uint32_t)process->start_ticks << 32 | (uint32_t)getpid();
}

static int64_t wall_time_of_start(const struct procfs_process *process)
{
    uint64_t age = clock_boot_nanoseconds() / (NANOSECONDS_PER_SECOND / 1000);
    uint64_t start = process->start_ticks * 1000 / procfs_ticks_per_second();
    int64_t now = clock_wall_milliseconds();
    return age > start ? now - (int64_t)(age - start) : now;
}

static struct segment_process_slot *find_free_slot(struct segment_header *header)
{
    for (size_t i = 0; i < SEGMENT_PROCESS_MAXIMUM; i++) {
        if (atomic_load(&header->processes[i].owner) == 0) {
            return &header->processes[i];
        }
    }
    for (size_t i = 0; i < SEGMENT_PROCESS_MAXIMUM; i++) {
        if (!segment_owner_alive(atomic_load(&header->processes[i].owner), true)) {
            return &header->processes[i];
        }
    }
    return NULL;
}

/* Fills the membership; the slot is SEGMENT_PROCESS_MAXIMUM when none was free. */
static void claim_slot(struct segment *segment)
{
    struct segment_membership *membership = segment->membership;
    struct procfs_process process;
    if (procfs_read_process(getpid(), &process) != STATUS_OK) {
        process = (struct procfs_process){0};
    }
    membership->owner_word = make_owner_word(&process);
    membership->self = (struct segment_process){.slot = SEGMENT_PROCESS_MAXIMUM};

    struct segment_header *header = segment->header;
    segment_lock_acquire_as(&header->process_lock, membership->owner_word);
    struct segment_process_slot *slot = find_free_slot(header);
    if (slot != NULL) {
        /* First: from here on nobody takes an earlier owner's identity for alive. */
        uint32_t generation = atomic_fetch_add(&slot->generation, 1) + 1;
        slot->started_wall_milliseconds = wall_time_of_start(&process);
        memcpy(slot->program, segment->program, sizeof slot->program);
        membership->self = (struct segment_process){.slot = (uint32_t)(slot - header->processes),
                                                    .generation = generation};
        atomic_store_explicit(&slot->owner, membership->owner_word, memory_order_release);
    }
    segment_lock_release(segment, &header->process_lock);
    atomic_store_explicit(&membership->state, REGISTERED, memory_order_release);
}

/* The membership of this process; a forked child finds it cleared and registers itself. */
static const struct segment_membership *require_membership(const struct segment *segment)
{
    struct segment_membership *membership = segment->membership;
    while (atomic_load_explicit(&membership->state, memory_order_acquire) != REGISTERED) {
        uint32_t expected = NOT_REGISTERED;
        if (atomic_compare_exchange_strong(&membership->state, &expected, BEING_REGISTERED)) {
            claim_slot((struct segment *)segment);
        } else {
            sched_yield();
        }
    }
    return membership;
}

uint64_t segment_owner_word(struct segment *segment)
{
    return require_membership(segment)->owner_word;
}

struct segment_process segment_self(const struct segment *segment)
{
    return require_membership(segment)->self;
}

enum status segment_register(struct segment *segment)
{
    return segment_self(segment).slot < SEGMENT_PROCESS_MAXIMUM ? STATUS_OK : STATUS_TOO_LARGE;
}

void segment_unregister(struct segment *segment)
{
    struct segment_membership *membership = segment->membership;
    if (atomic_load(&membership->state) != REGISTERED ||
        membership->self.slot >= SEGMENT_PROCESS_MAXIMUM) {
        return;
    }
    struct segment_process_slot *slot = &segment->header->processes[membership->self.slot];
    segment_lock_acquire(segment, &segment->header->process_lock);
    if (atomic_load(&slot->generation) == membership->self.generation) {
        atomic_store_explicit(&slot->owner, 0, memory_order_release);
    }
    segment_lock_release(segment, &segment->header->process_lock);
    membership->self.slot = SEGMENT_PROCESS_MAXIMUM;
}

static void free_slot_of_dead(struct segment *segment, struct segment_process process,
                              uint64_t owner)
{
    struct segment_process_slot *slot = &segment->header->processes[process.slot];
    segment_lock_acquire(segment, &segment->header->process_lock);
    if (atomic_load(&slot->generation) == process.generation &&
        atomic_load(&slot->owner) == owner) {
        atomic_store_explicit(&slot->owner, 0, memory_order_release);
    }
    segment_lock_release(segment, &segment->header->process_lock);
}

static bool check_process(struct segment *segment, struct segment_process process,
                          bool look_into_proc)
{
    if (process.slot >= SEGMENT_PROCESS_MAXIMUM) {
        return false;
    }
    struct segment_process_slot *slot = &segment->header->processes[process.slot];
    if (atomic_load_explicit(&slot->generation, memory_order_acquire) != process.generation) {
        return false;
    }
    uint64_t owner = atomic_load_explicit(&slot->owner, memory_order_acquire);
    if (owner == 0) {
        return false;
    }
    if (owner != segment_owner_word(segment)) {
        _Atomic uint64_t *looked = &segment->looked[process.slot];
        uint64_t stamp = (uint64_t)process.generation << 32 |
                         (uint32_t)(clock_boot_nanoseconds() / NANOSECONDS_PER_SECOND);
        bool look = look_into_proc || atomic_load_explicit(looked, memory_order_relaxed) != stamp;
        if (!segment_owner_alive(owner, look)) {
            free_slot_of_dead(segment, process, owner);
            return false;
        }
        if (look) {
            atomic_store_explicit(looked, stamp, memory_order_relaxed);
        }
    }
    return atomic_load_explicit(&slot->generation, memory_order_acquire) == process.generation;
}

bool segment_process_alive(struct segment *segment, struct segment_process process)
{
    return check_process(segment, process, false);
}

size_t segment_list_processes(struct segment *segment, struct segment_process_info *out,
                              size_t maximum)
{
    struct segment_header *header = segment->header;
    size_t count = 0;
    for (uint32_t i = 0; i < SEGMENT_PROCESS_MAXIMUM && count < maximum; i++) {
        struct segment_process_slot *slot = &header->processes[i];
        struct segment_process process = {.slot = i, .generation = atomic_load(&slot->generation)};
        if (!check_process(segment, process, true)) {
            continue;
        }
        segment_lock_acquire(segment, &header->process_lock);
        if (atomic_load(&slot->generation) == process.generation) {
            out[count] = (struct segment_process_info){
                .process = process,
                .pid = (pid_t)(atomic_load(&slot->owner) & UINT32_MAX),
                .started_wall_milliseconds = slot->started_wall_milliseconds,
            };
            memcpy(out[count].program, slot->program, sizeof slot->program);
            count++;
        }
        segment_lock_release(segment, &header->process_lock);
    }
    return count;
}
