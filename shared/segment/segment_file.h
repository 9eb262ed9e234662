/*
 * segment/segment_file: finds, checks, makes and replaces the segment's file. Private to
 * shared/segment.
 */
#ifndef SEGMENT_SEGMENT_FILE_H
#define SEGMENT_SEGMENT_FILE_H

#include "base/buffer.h"
#include "segment/layout.h"

struct segment_file {
    const char *directory;
    uint64_t identity;
    uint32_t region_count;
    size_t size;
};

/*
 * Maps the file, making it first when there is none or a foreign one. On success *header is the
 * mapping of file->size bytes and *descriptor holds a shared flock on it; both are the caller's.
 * STATUS_UNAVAILABLE otherwise, with the reason appended to `problem`.
 */
enum status segment_file_map(const struct segment_file *file, struct segment_header **header,
                             int *descriptor, struct buffer *problem) MUST_CHECK;

#endif
