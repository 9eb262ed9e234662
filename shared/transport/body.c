/*
 * body: memory, or a file that has no name.
 */
#include "transport/body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_NAME_SIZE 512

void body_init(struct body *body)
{
    *body = (struct body){.file = -1};
    buffer_init(&body->memory, SIZE_MAX);
}

/* Not every file system makes files without a name. */
static int make_file(const char *directory)
{
    int file = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) {
        return file;
    }
    char name[FILE_NAME_SIZE];
    int length = snprintf(name, sizeof(name), "%s/body-XXXXXX", directory);
    if (length < 0 || (size_t)length >= sizeof(name)) {
        return -1;
    }
    file = mkostemp(name, O_CLOEXEC);
    if (file >= 0) {
        unlink(name);
    }
    return file;
}

static enum status write_at(int file, struct slice bytes, size_t offset)
{
    while (bytes.length > 0) {
        ssize_t written = pwrite(file, bytes.data, bytes.length, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return STATUS_UNAVAILABLE;
        }
        bytes.data += written;
        bytes.length -= (size_t)written;
        offset += (size_t)written;
    }
    return STATUS_OK;
}

enum status body_use_file(struct body *body, const char *directory, size_t maximum)
{
    int file = make_file(directory);
    if (file < 0) {
        return STATUS_UNAVAILABLE;
    }
    struct slice first = {.data = body->memory.data, .length = body->memory.length};
    /* One byte more: the NUL behind the body. */
    if (posix_fallocate(file, 0, (off_t)maximum + 1) != 0 ||
        write_at(file, first, 0) != STATUS_OK) {
        close(file);
        return STATUS_UNAVAILABLE;
    }
    buffer_release(&body->memory);
    body->file = file;
    return STATUS_OK;
}

enum status body_append(struct body *body, struct slice bytes)
{
    enum status status = body->file < 0 ? buffer_append(&body->memory, bytes.data, bytes.length)
                                        : write_at(body->file, bytes, body->length);
    if (status == STATUS_OK) {
        body->length += bytes.length;
    }
    return status;
}

enum status body_finish(struct body *body, struct slice *out)
{
    if (body->file < 0) {
        *out = (struct slice){.data = buffer_text(&body->memory), .length = body->memory.length};
        return STATUS_OK;
    }
    if (body->map == NULL) {
        void *map = mmap(NULL, body->length + 1, PROT_READ, MAP_SHARED, body->file, 0);
        if (map == MAP_FAILED) {
            return STATUS_NO_MEMORY;
        }
        body->map = map;
        body->map_length = body->length + 1;
        madvise(map, body->map_length, MADV_SEQUENTIAL);
    }
    *out = (struct slice){.data = body->map, .length = body->length};
    return STATUS_OK;
}

void body_reset(struct body *body, size_t kept)
{
    if (body->map != NULL) {
        munmap(body->map, body->map_length);
        body->map = NULL;
    }
    if (body->file >= 0) {
        close(body->file);
        body->file = -1;
    }
    if (body->memory.capacity > kept) {
        buffer_release(&body->memory);
    } else {
        buffer_reset(&body->memory);
    }
    body->length = 0;
}
