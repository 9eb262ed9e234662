/*
 * storage/ephemeral: a place for a database that must not reach a disk and ends with the machine.
 *
 * It is a directory of mode 0700 on a memory file system (tmpfs, ramfs) with one file in it:
 *
 *   RUNTIME_DIR/quintet-<16 digits>/charts.db   where RUNTIME_DIR is on one,
 *   /dev/shm/quintet-<16 digits>/charts.db      otherwise
 *
 * The digits are a hash of what STATE_DIR is (device, inode, time of its making), not of what it is
 * called: all processes of an installation meet there, whatever path leads them to it, and another
 * installation never does, be it in a container with the same paths or made anew in the same place.
 *
 * What is found there must be a directory and a file of the right owner that nobody else may use;
 * anything else is refused and never repaired: /dev/shm is open to all users of the machine. The
 * right owner is the user of the process. Root may look as well, and gives what it makes to the
 * owner of STATE_DIR.
 *
 * The database there is opened like any other: fsync(2) returns at once on such a file system, so
 * there is nothing to be gained by asking for less durability.
 */
#ifndef STORAGE_EPHEMERAL_H
#define STORAGE_EPHEMERAL_H

#include <limits.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/status.h"

#define EPHEMERAL_COMMON_DIRECTORY "/dev/shm"

struct ephemeral_options {
    const char *state_dir;        /* exists */
    const char *runtime_dir;      /* exists */
    const char *common_directory; /* EPHEMERAL_COMMON_DIRECTORY, but for tests */
};

/* For struct storage_options. */
struct ephemeral_place {
    char url[PATH_MAX];
    /* A third of what the file system has beyond 16 MiB, and 1 MiB at least. The rest is for the
     * write-ahead log: a write's pages are there before they are in the file, some of them more
     * than once, and removing must work when the file has reached its limit. The 16 MiB are for
     * the segment (segment.h), which may lie on the same file system, and the log's usual size. */
    uint64_t size_maximum;
};

/* Makes what is missing. STATUS_UNAVAILABLE with one line in `problem`: there is no memory file
 * system, it does not take the files, or what is there is not ours. */
enum status ephemeral_settle(struct ephemeral_place *out, const struct ephemeral_options *options,
                             struct buffer *problem) MUST_CHECK;

#endif
