/*
 * segment/procfs: reads /proc/<pid>/stat and counts /proc/<pid>/fd. See the header.
 */
#include "segment/procfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Positions in /proc/<pid>/stat as proc(5) numbers them, from 1; 3 is the first after ')'. */
enum {
    FIELD_STATE = 3,
    FIELD_USER_TICKS = 14,
    FIELD_SYSTEM_TICKS = 15,
    FIELD_START_TICKS = 22,
    FIELD_RESIDENT_PAGES = 24
};

static enum status parse_stat(char *text, struct procfs_process *out)
{
    char *cursor = strrchr(text, ')');
    if (cursor == NULL || cursor[1] != ' ') {
        return STATUS_NOT_FOUND;
    }
    cursor += 2;
    *out = (struct procfs_process){.has_ended = *cursor == 'Z' || *cursor == 'X'};
    int field = FIELD_STATE;
    while (field < FIELD_RESIDENT_PAGES) {
        cursor = strchr(cursor, ' ');
        if (cursor == NULL) {
            return STATUS_NOT_FOUND;
        }
        cursor++;
        field++;
        uint64_t number = strtoull(cursor, NULL, 10);
        if (field == FIELD_USER_TICKS || field == FIELD_SYSTEM_TICKS) {
            out->cpu_ticks += number;
        } else if (field == FIELD_START_TICKS) {
            out->start_ticks = number;
        } else if (field == FIELD_RESIDENT_PAGES) {
            out->memory_bytes = number * (uint64_t)sysconf(_SC_PAGESIZE);
        }
    }
    return STATUS_OK;
}

enum status procfs_read_process(pid_t pid, struct procfs_process *out)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return STATUS_NOT_FOUND;
    }
    char text[1024];
    ssize_t length;
    do {
        length = read(descriptor, text, sizeof text - 1);
    } while (length < 0 && errno == EINTR);
    close(descriptor);
    if (length <= 0) {
        return STATUS_NOT_FOUND;
    }
    text[length] = '\0';
    return parse_stat(text, out);
}

int procfs_count_descriptors(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return -1;
    }
    int count = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    /* The descriptor that reads the list is in the list when a process looks at itself. */
    if (pid == getpid()) {
        count--;
    }
    closedir(directory);
    return count;
}

uint64_t procfs_ticks_per_second(void)
{
    long ticks = sysconf(_SC_CLK_TCK);
    return ticks > 0 ? (uint64_t)ticks : 100;
}
