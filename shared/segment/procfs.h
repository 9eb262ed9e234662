/*
 * segment/procfs: what /proc tells about a process of this host.
 *
 * Own parser because no library of the suite reads /proc, and the one subtle thing is small: the
 * command name in /proc/<pid>/stat may hold spaces and parentheses, so fields are counted from
 * the last ')' (proc(5)).
 */
#ifndef SEGMENT_PROCFS_H
#define SEGMENT_PROCFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

struct procfs_process {
    bool has_ended;        /* a zombie: it runs no code any more, only its parent has not looked */
    uint64_t start_ticks;  /* since boot; see procfs_ticks_per_second */
    uint64_t cpu_ticks;    /* user and system, all threads */
    uint64_t memory_bytes; /* resident */
};

/* STATUS_NOT_FOUND when there is no such process or /proc hides it. Takes no memory. */
enum status procfs_read_process(pid_t pid, struct procfs_process *out) MUST_CHECK;

/* Number of open descriptors; -1 when the kernel does not let us look. */
int procfs_count_descriptors(pid_t pid);

uint64_t procfs_ticks_per_second(void);

#endif
