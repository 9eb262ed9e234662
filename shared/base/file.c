/*
 * file: read(2) and write(2) until done, and names that appear or change at once.
 *
 * New content is written to a temporary file beside the target and reaches the disk before it gets
 * the target's name, so a reader or a crash finds the old file, the new one or none. The file has
 * exactly the mode asked for, whatever the umask, and never a wider one before.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_SIZE 16384

static enum status status_of_errno(void)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
        return STATUS_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return STATUS_DENIED;
    case EEXIST:
        return STATUS_CONFLICT;
    case ENAMETOOLONG:
        return STATUS_INVALID;
    case ENOMEM:
        return STATUS_NO_MEMORY;
    default:
        return STATUS_INTERNAL;
    }
}

static ssize_t read_some(int descriptor, void *out, size_t size)
{
    ssize_t got;
    do {
        got = read(descriptor, out, size);
    } while (got < 0 && errno == EINTR);
    return got;
}

enum status file_read(const char *path, struct buffer *out)
{
    if (buffer_status(out) != STATUS_OK) {
        return buffer_status(out);
    }
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return status_of_errno();
    }
    enum status status = STATUS_OK;
    size_t before = out->length;
    for (;;) {
        /* One byte beyond the maximum is asked for on the stack, to tell "exactly full" from
         * "too large" without breaking the buffer. */
        size_t size = out->maximum - out->length;
        char beyond;
        char *at = &beyond;
        if (size > 0) {
            size = size < READ_SIZE ? size : READ_SIZE;
            at = buffer_reserve(out, size);
            if (at == NULL) {
                status = buffer_status(out);
                break;
            }
        }
        ssize_t got = read_some(descriptor, at, size > 0 ? size : 1);
        if (got < 0) {
            status = status_of_errno();
            break;
        }
        if (got == 0) {
            break;
        }
        if (size == 0) {
            status = STATUS_TOO_LARGE;
            break;
        }
        buffer_commit(out, (size_t)got);
    }
    if (status != STATUS_OK) {
        buffer_truncate(out, before);
    }
    close(descriptor);
    return status;
}

static enum status write_all(int descriptor, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t written = write(descriptor, at, length);
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            return status_of_errno();
        }
        at += written;
        length -= (size_t)written;
    }
    return STATUS_OK;
}

/* Writes the content to a new file beside `path`, whose name goes to `temporary` (PATH_MAX). On
 * failure nothing is left behind. */
static enum status write_beside(const char *path, const void *bytes, size_t length, mode_t mode,
                                char *temporary)
{
    int size = snprintf(temporary, PATH_MAX, "%s.XXXXXX", path);
    if (size < 0 || size >= PATH_MAX) {
        return STATUS_INVALID;
    }
    int descriptor = mkostemp(temporary, O_CLOEXEC);
    if (descriptor < 0) {
        return status_of_errno();
    }
    enum status status = write_all(descriptor, bytes, length);
    if (status == STATUS_OK && (fchmod(descriptor, mode) != 0 || fsync(descriptor) != 0)) {
        status = status_of_errno();
    }
    if (close(descriptor) != 0 && status == STATUS_OK) {
        status = status_of_errno();
    }
    if (status != STATUS_OK) {
        unlink(temporary);
    }
    return status;
}

/* Makes the new name itself survive a power cut. Some file systems cannot; the content is safe
 * all the same, so that is no failure. */
static void sync_directory_of(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    if (length == 0) {
        memcpy(directory, ".", 2);
    } else {
        memcpy(directory, path, length);
        directory[length] = '\0';
    }
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
}

enum status file_write(const char *path, const void *bytes, size_t length, mode_t mode)
{
    char temporary[PATH_MAX];
    enum status status = write_beside(path, bytes, length, mode, temporary);
    if (status != STATUS_OK) {
        return status;
    }
    if (rename(temporary, path) != 0) {
        status = status_of_errno();
        unlink(temporary);
        return status;
    }
    sync_directory_of(path);
    return STATUS_OK;
}

enum status file_create(const char *path, const void *bytes, size_t length, mode_t mode)
{
    char temporary[PATH_MAX];
    enum status status = write_beside(path, bytes, length, mode, temporary);
    if (status != STATUS_OK) {
        return status;
    }
    /* rename would replace; link refuses a name that is taken. */
    if (link(temporary, path) != 0) {
        status = status_of_errno();
    }
    unlink(temporary);
    if (status == STATUS_OK) {
        sync_directory_of(path);
    }
    return status;
}

static enum status make_one_directory(const char *path, mode_t mode)
{
    if (mkdir(path, mode) == 0) {
        return STATUS_OK;
    }
    int reason = errno;
    struct stat facts;
    /* Whatever mkdir says (EEXIST, EROFS, EACCES): a directory that is there is fine. */
    if (stat(path, &facts) == 0) {
        return S_ISDIR(facts.st_mode) ? STATUS_OK : STATUS_CONFLICT;
    }
    errno = reason;
    return status_of_errno();
}

enum status file_make_directory(const char *path, mode_t mode)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(part)) {
        return STATUS_INVALID;
    }
    memcpy(part, path, length + 1);
    for (size_t i = 1; i < length; i++) {
        if (part[i] != '/' || part[i - 1] == '/') {
            continue;
        }
        part[i] = '\0';
        enum status status = make_one_directory(part, mode);
        if (status != STATUS_OK) {
            return status;
        }
        part[i] = '/';
    }
    return make_one_directory(part, mode);
}

void file_hold_standard_descriptors(void)
{
    /* open(2) takes the lowest free number: the one just found free. */
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
        if (fcntl(descriptor, F_GETFD) < 0 && errno == EBADF) {
            /* The wrong direction: a read or write is answered EBADF. */
            (void)open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}
