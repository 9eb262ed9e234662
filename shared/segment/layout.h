/*
 * segment/layout: the bytes at the front of the segment file, and a process' own view of them.
 * Private to shared/segment.
 *
 * File: struct segment_header (magic, identity, secret, process table), then the regions in the
 * order given to segment_open, each at a multiple of 4096. All integers are the host's own; a
 * file from another kind of machine fails the magic.
 */
#ifndef SEGMENT_LAYOUT_H
#define SEGMENT_LAYOUT_H

#include "segment/segment.h"

#define SEGMENT_MAGIC          UINT64_C(0x3176746e65746e69) /* one per byte order and layout */
#define SEGMENT_LAYOUT_VERSION 1
#define SEGMENT_ALIGNMENT      4096
#define SEGMENT_PROGRAM_SIZE   32
#define SEGMENT_BOOT_ID_SIZE   40

/*
 * One process. `owner` is the process' owner word (below) and 0 while the slot is free.
 * `generation` grows before the slot gets a new owner, so (slot, generation) never comes back; it
 * is 0 in a slot that never had one. Both change only under `process_lock`, in an order that
 * leaves at worst a skipped generation when the one who changes them is killed.
 */
struct segment_process_slot {
    _Atomic uint64_t owner;
    _Atomic uint32_t generation;
    uint32_t reserved;
    int64_t started_wall_milliseconds;
    char program[SEGMENT_PROGRAM_SIZE];
    uint64_t reserved_too;
};

struct segment_header {
    uint64_t magic;
    uint32_t layout_version;
    uint32_t region_count;
    uint64_t identity; /* hash of all regions and of the pid namespace; also in the file name */
    uint64_t size;     /* of the file */
    char boot_id[SEGMENT_BOOT_ID_SIZE]; /* "" when the maker could not read it */
    int64_t created_wall_milliseconds;
    uint64_t created_boot_nanoseconds;
    struct siphash_key secret;
    struct segment_lock process_lock;
    uint64_t reserved[2];
    struct segment_process_slot processes[SEGMENT_PROCESS_MAXIMUM];
};

_Static_assert(sizeof(struct segment_process_slot) == 64, "the layout of the file is fixed");
_Static_assert(sizeof(struct segment_header) == 128 + 64 * SEGMENT_PROCESS_MAXIMUM,
               "the layout of the file is fixed");

/*
 * What belongs to one process and not to its children: it lives in a page that the kernel clears
 * in a forked child (MADV_WIPEONFORK), so a child notices at no cost that it has to register
 * itself.
 */
struct segment_membership {
    _Atomic uint32_t state; /* 0 not registered, 1 being registered, 2 registered */
    struct segment_process self;
    uint64_t owner_word;
};

struct segment {
    struct segment_header *header;
    size_t size;
    int descriptor; /* kept open: its shared flock tells cleaners that the file is in use */
    size_t region_count;
    struct segment_region *regions;
    size_t *offsets;
    struct segment_membership *membership;
    char program[SEGMENT_PROGRAM_SIZE];
    /* generation << 32 | boot second of the last look into /proc, per slot */
    _Atomic uint64_t looked[SEGMENT_PROCESS_MAXIMUM];
};

/*
 * Owner word: low half the pid, high half the low 32 bits of the process' start time in ticks.
 * One atomic word says who holds something and survives reuse of pids, without any table. A
 * high half of 0 means that the process could not read its own start time.
 */
uint64_t segment_owner_word(struct segment *segment);

/* Whether the process behind an owner word runs. Without `look_into_proc` only kill(2) is asked,
 * which takes a zombie or a reused pid for alive. */
bool segment_owner_alive(uint64_t owner_word, bool look_into_proc);

/* segment_lock_acquire for a process that has its owner word but no slot yet. */
bool segment_lock_acquire_as(struct segment_lock *lock, uint64_t mine);

/* Claims a slot for this process; STATUS_TOO_LARGE when all are taken by live processes. */
enum status segment_register(struct segment *segment) MUST_CHECK;
void segment_unregister(struct segment *segment);

#endif
