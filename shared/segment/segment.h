/*
 * segment: the one piece of memory that all programs of a host share.
 *
 * A file in the runtime directory, mapped MAP_SHARED. Layout: a header (magic, layout version,
 * boot id, hash of all regions' names, sizes and schemas, a random secret, creation time), the
 * process table, then the regions in the order given, each aligned to 4096 bytes. The file is
 * made beside its name, fully allocated (so that a full disk is an error here and never SIGBUS
 * later), zeroed, initialised and renamed into place. A file with another magic, hash or boot id
 * is foreign: it is replaced, never parsed. Everything in it is changed by atomics only; a
 * process killed at any instruction leaves it usable.
 *
 * Two builds with different schemas on one host have two segments (the hash is part of the file
 * name) and do not disturb each other.
 */
#ifndef SEGMENT_SEGMENT_H
#define SEGMENT_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/siphash.h"
#include "base/status.h"

struct segment;

/* What a module needs: declared by the module (metrics_segment_region, …), listed once in
 * http/app.c in an order that is the same for all programs. */
struct segment_region {
    const char *name;
    size_t size;     /* bytes; a multiple of 64 */
    uint64_t schema; /* changes whenever the meaning of the bytes changes */
};

/* Maps the segment in `directory`, making it if needed; two processes racing get the same one.
 * Also claims a slot of the process table for this process under `program` (<= 31 characters).
 * STATUS_UNAVAILABLE when the directory cannot hold it (with `problem` telling why). */
enum status segment_open(struct segment **out, const char *directory, const char *program,
                         const struct segment_region *regions, size_t region_count,
                         struct buffer *problem) MUST_CHECK;

/* The region's bytes; never NULL for a name that was given to segment_open. All zero when the
 * segment was made. */
void *segment_find(struct segment *segment, const char *name);

/* Random per segment; the key of every hash of client-chosen text in it. */
const struct siphash_key *segment_secret(const struct segment *segment);

int64_t segment_created_wall_milliseconds(const struct segment *segment);

/* Frees this process' slot and unmaps. */
void segment_close(struct segment *segment);

/* --- Processes ---------------------------------------------------------------------------- */

#define SEGMENT_PROCESS_MAXIMUM 64

/* Identity of a process for ever: slots are reused, generations are not. */
struct segment_process {
    uint32_t slot;
    uint32_t generation;
};

/* A forked child has its own; its slot is SEGMENT_PROCESS_MAXIMUM when the table is full, and then
 * it counts as dead. */
struct segment_process segment_self(const struct segment *segment);

/* False once that process is dead or its slot has another owner; a dead owner's slot is freed
 * (pid and start time from /proc are compared, so a reused pid does not count). */
bool segment_process_alive(struct segment *segment, struct segment_process process);

struct segment_process_info {
    struct segment_process process;
    pid_t pid;
    char program[32];
    int64_t started_wall_milliseconds;
};

/* Fills `out` with the live processes; returns how many (<= maximum). */
size_t segment_list_processes(struct segment *segment, struct segment_process_info *out,
                              size_t maximum);

/* --- Locks: short critical sections inside regions ------------------------------------------ */

/* Zero = free. Held for microseconds, by the process and thread that took it. */
struct segment_lock {
    _Atomic uint64_t owner;
};

/* Spins, then yields, then naps; takes the lock over when its owner is dead and tells so by
 * returning true: then what it guards may be half-written and must be repaired by the caller. */
bool segment_lock_acquire(struct segment *segment, struct segment_lock *lock);
void segment_lock_release(struct segment *segment, struct segment_lock *lock);

#endif
