/*
 * segment: opens and closes the shared memory and finds regions in it. The file is made in
 * segment_file.c, the process table is in segment_process.c, locks are in segment_lock.c.
 */
#include "segment/segment.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "segment/segment_file.h"

#define REGION_MAXIMUM 32

static size_t align(size_t size)
{
    return (size + SEGMENT_ALIGNMENT - 1) / SEGMENT_ALIGNMENT * SEGMENT_ALIGNMENT;
}

/* Hash of everything two programs must agree on to share the bytes. The pid namespace is part of
 * it because a pid means nothing in another one: two containers that share a directory get a
 * segment each. Not secret: the key is fixed. */
static enum status compute_identity(const struct segment_region *regions, size_t count,
                                    uint64_t *identity)
{
    struct buffer text;
    buffer_init(&text, 8192);
    struct stat namespace = {0};
    if (stat("/proc/self/ns/pid", &namespace) != 0) {
        namespace.st_ino = 0;
    }
    buffer_append_format(&text, "%d %d %llu", SEGMENT_LAYOUT_VERSION, SEGMENT_PROCESS_MAXIMUM,
                         (unsigned long long)namespace.st_ino);
    for (size_t i = 0; i < count; i++) {
        buffer_append_format(&text, "|%s %zu %llx", regions[i].name, regions[i].size,
                             (unsigned long long)regions[i].schema);
    }
    enum status status = buffer_status(&text);
    if (status == STATUS_OK) {
        static const struct siphash_key key = {{0, 0}};
        *identity = siphash_compute(&key, text.data, text.length).words[0];
    }
    buffer_release(&text);
    return status;
}

static enum status allocate_segment(struct segment **out, size_t region_count)
{
    struct segment *segment = memory_allocate(sizeof *segment);
    if (segment == NULL) {
        return STATUS_NO_MEMORY;
    }
    segment->descriptor = -1;
    segment->regions = memory_allocate(region_count * sizeof *segment->regions);
    segment->offsets = memory_allocate(region_count * sizeof *segment->offsets);
    if (segment->regions == NULL || segment->offsets == NULL) {
        segment_close(segment);
        return STATUS_NO_MEMORY;
    }
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        segment_close(segment);
        return STATUS_NO_MEMORY;
    }
    segment->membership = page;
    /* Where the kernel cannot do it (before 4.14), children count as their parent. */
    madvise(page, size, MADV_WIPEONFORK);
    *out = segment;
    return STATUS_OK;
}

/* Places the regions behind the header; returns the size of the file. */
static size_t place_regions(struct segment *segment, const struct segment_region *regions,
                            size_t count)
{
    size_t end = align(sizeof(struct segment_header));
    for (size_t i = 0; i < count; i++) {
        segment->regions[i] = regions[i];
        segment->offsets[i] = end;
        end += align(regions[i].size);
    }
    segment->region_count = count;
    return end;
}

enum status segment_open(struct segment **out, const char *directory, const char *program,
                         const struct segment_region *regions, size_t region_count,
                         struct buffer *problem)
{
    *out = NULL;
    if (region_count == 0 || region_count > REGION_MAXIMUM) {
        return STATUS_INVALID;
    }
    struct segment *segment = NULL;
    struct segment_file file = {.directory = directory, .region_count = (uint32_t)region_count};
    enum status status = compute_identity(regions, region_count, &file.identity);
    if (status != STATUS_OK) {
        return status;
    }
    status = allocate_segment(&segment, region_count);
    if (status != STATUS_OK) {
        return status;
    }
    size_t length = strnlen(program, sizeof segment->program - 1);
    memcpy(segment->program, program, length);
    file.size = place_regions(segment, regions, region_count);
    segment->size = file.size;
    status = segment_file_map(&file, &segment->header, &segment->descriptor, problem);
    if (status == STATUS_OK && segment_register(segment) != STATUS_OK) {
        if (problem != NULL) {
            buffer_append_format(problem, "%d processes use the segment in %s already",
                                 SEGMENT_PROCESS_MAXIMUM, directory);
        }
        status = STATUS_UNAVAILABLE;
    }
    if (status != STATUS_OK) {
        segment_close(segment);
        return status;
    }
    *out = segment;
    return STATUS_OK;
}

void *segment_find(struct segment *segment, const char *name)
{
    for (size_t i = 0; i < segment->region_count; i++) {
        if (strcmp(segment->regions[i].name, name) == 0) {
            return (char *)segment->header + segment->offsets[i];
        }
    }
    return NULL;
}

const struct siphash_key *segment_secret(const struct segment *segment)
{
    return &segment->header->secret;
}

int64_t segment_created_wall_milliseconds(const struct segment *segment)
{
    return segment->header->created_wall_milliseconds;
}

void segment_close(struct segment *segment)
{
    if (segment == NULL) {
        return;
    }
    if (segment->header != NULL) {
        segment_unregister(segment);
        munmap(segment->header, segment->size);
    }
    if (segment->descriptor >= 0) {
        close(segment->descriptor);
    }
    if (segment->membership != NULL) {
        munmap(segment->membership, (size_t)sysconf(_SC_PAGESIZE));
    }
    memory_release(segment->offsets);
    memory_release(segment->regions);
    memory_release(segment);
}
