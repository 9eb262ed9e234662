/*
 * segment/segment_file: the file behind the segment.
 *
 * Names in the directory: segment-<identity>.shm is the segment of one build, segment.lock is
 * held while one is made, segment-<identity>.new is one that is not finished. A file is in use
 * while somebody holds a shared flock on it; the maker of a new one removes those that nobody
 * uses, so upgrades leave nothing behind.
 */
#include "segment/segment_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"

#define PATH_SIZE                4096
#define LOCK_TIMEOUT_NANOSECONDS UINT64_C(5000000000)
#define LOCK_NAP_NANOSECONDS     5000000
/* Makers and cleaners that get in each other's way this often in a row do not exist. */
#define MAP_ATTEMPTS 16
/* How far two readings of "when did this machine boot" may lie apart; clocks get corrected. */
#define BOOT_TIME_TOLERANCE_MILLISECONDS 60000

static void report(struct buffer *problem, const char *what, const char *path, int error)
{
    if (problem != NULL) {
        buffer_append_format(problem, "%s %s: %s", what, path, strerrordesc_np(error));
    }
}

static bool make_path(const struct segment_file *file, const char *ending, char out[PATH_SIZE])
{
    int length = snprintf(out, PATH_SIZE, "%s/segment-%016" PRIx64 "%s", file->directory,
                          file->identity, ending);
    return length > 0 && length < PATH_SIZE;
}

/* "" under a sandbox that hides /proc/sys. */
static void read_boot_id(char out[SEGMENT_BOOT_ID_SIZE])
{
    memset(out, 0, SEGMENT_BOOT_ID_SIZE);
    int descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return;
    }
    ssize_t length = read(descriptor, out, SEGMENT_BOOT_ID_SIZE - 1);
    close(descriptor);
    out[length > 0 ? strcspn(out, "\n") : 0] = '\0';
}

static bool is_of_this_boot(const struct segment_header *header)
{
    char boot_id[SEGMENT_BOOT_ID_SIZE];
    read_boot_id(boot_id);
    if (boot_id[0] != '\0' && header->boot_id[0] != '\0') {
        return memcmp(boot_id, header->boot_id, sizeof boot_id) == 0;
    }
    /* One of the two programs is in a sandbox: compare when the machine was started instead. */
    uint64_t boot = clock_boot_nanoseconds();
    int64_t started_now = clock_wall_milliseconds() - (int64_t)(boot / 1000000);
    int64_t started_then =
        header->created_wall_milliseconds - (int64_t)(header->created_boot_nanoseconds / 1000000);
    return header->created_boot_nanoseconds <= boot &&
           llabs(started_now - started_then) <= BOOT_TIME_TOLERANCE_MILLISECONDS;
}

static bool is_ours(const struct segment_file *file, const struct segment_header *header)
{
    return header->magic == SEGMENT_MAGIC && header->layout_version == SEGMENT_LAYOUT_VERSION &&
           header->identity == file->identity && header->region_count == file->region_count &&
           header->size == file->size && is_of_this_boot(header);
}

static bool is_still_named(int descriptor, const char *path)
{
    struct stat opened;
    struct stat named;
    return fstat(descriptor, &opened) == 0 && lstat(path, &named) == 0 &&
           opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/* STATUS_NOT_FOUND: there is none. STATUS_INVALID: foreign, to be replaced. STATUS_BUSY: it was
 * replaced meanwhile, look again. STATUS_UNAVAILABLE: reported. */
static enum status map_existing(const struct segment_file *file, const char *path,
                                struct segment_header **header, int *descriptor,
                                struct buffer *problem)
{
    int opened = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (opened < 0) {
        if (errno == ENOENT) {
            return STATUS_NOT_FOUND;
        }
        if (errno == ELOOP || errno == ENXIO) {
            return STATUS_INVALID; /* a symbolic link or a socket */
        }
        report(problem, "cannot open", path, errno);
        return STATUS_UNAVAILABLE;
    }
    enum status status = STATUS_INVALID;
    void *mapping = MAP_FAILED;
    struct stat information;
    if (fstat(opened, &information) != 0 || !S_ISREG(information.st_mode) ||
        (uintmax_t)information.st_size != file->size) {
        goto out;
    }
    /* A file system without locks has no cleaners either: going on without one is safe. */
    while (flock(opened, LOCK_SH) != 0 && errno == EINTR) {
    }
    if (!is_still_named(opened, path)) {
        status = STATUS_BUSY;
        goto out;
    }
    mapping = mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
    if (mapping == MAP_FAILED) {
        report(problem, "cannot map", path, errno);
        status = STATUS_UNAVAILABLE;
        goto out;
    }
    /* Tables are sparse: reading ahead would only fill memory with zeros. */
    madvise(mapping, file->size, MADV_RANDOM);
    status = is_ours(file, mapping) ? STATUS_OK : STATUS_INVALID;
out:
    if (status == STATUS_OK) {
        *header = mapping;
        *descriptor = opened;
        return STATUS_OK;
    }
    if (mapping != MAP_FAILED) {
        munmap(mapping, file->size);
    }
    close(opened);
    return status;
}

static enum status fill_header(const struct segment_file *file, int descriptor)
{
    struct segment_header header = {
        .magic = SEGMENT_MAGIC,
        .layout_version = SEGMENT_LAYOUT_VERSION,
        .region_count = file->region_count,
        .identity = file->identity,
        .size = file->size,
        .created_wall_milliseconds = clock_wall_milliseconds(),
        .created_boot_nanoseconds = clock_boot_nanoseconds(),
    };
    read_boot_id(header.boot_id);
    random_bytes(&header.secret, sizeof header.secret);
    ssize_t written = pwrite(descriptor, &header, sizeof header, 0);
    if (written == (ssize_t)sizeof header) {
        return STATUS_OK;
    }
    if (written >= 0) {
        errno = ENOSPC;
    }
    return STATUS_UNAVAILABLE;
}

/* So that a root shell with the command line tool does not lock the daemons out. */
static void give_to_owner_of_directory(const struct segment_file *file, int descriptor)
{
    struct stat directory;
    if (geteuid() == 0 && stat(file->directory, &directory) == 0 && directory.st_uid != 0) {
        if (fchown(descriptor, directory.st_uid, directory.st_gid) != 0) {
            return; /* the daemons will say that they may not open it */
        }
    }
}

/* Only while segment.lock is held: there is one maker at a time. */
static enum status make_file(const struct segment_file *file, const char *path,
                             struct buffer *problem)
{
    char unfinished[PATH_SIZE];
    if (!make_path(file, ".new", unfinished)) {
        return STATUS_UNAVAILABLE;
    }
    unlink(unfinished); /* of a maker that was killed */
    int descriptor =
        open(unfinished, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (descriptor < 0) {
        report(problem, "cannot create", unfinished, errno);
        return STATUS_UNAVAILABLE;
    }
    enum status status = STATUS_UNAVAILABLE;
    int error = posix_fallocate(descriptor, 0, (off_t)file->size);
    if (error != 0) {
        report(problem, "cannot allocate", unfinished, error);
        goto out;
    }
    if (fchmod(descriptor, S_IRUSR | S_IWUSR) != 0 || fill_header(file, descriptor) != STATUS_OK) {
        report(problem, "cannot write", unfinished, errno);
        goto out;
    }
    give_to_owner_of_directory(file, descriptor);
    if (rename(unfinished, path) != 0) {
        report(problem, "cannot rename into place", path, errno);
        goto out;
    }
    status = STATUS_OK;
out:
    if (status != STATUS_OK) {
        unlink(unfinished);
    }
    close(descriptor);
    return status;
}

static bool is_segment_name(const char *name)
{
    struct slice text = slice_of(name);
    size_t expected = strlen("segment-0123456789abcdef.shm");
    return text.length == expected && slice_starts_with(text, "segment-") &&
           strspn(name + strlen("segment-"), "0123456789abcdef") == 16 &&
           strcmp(name + expected - 4, ".shm") == 0;
}

/* Removes segments of other builds that no process has open. Best effort. */
static void remove_unused_siblings(const struct segment_file *file)
{
    char own[PATH_SIZE];
    DIR *directory = opendir(file->directory);
    if (directory == NULL || !make_path(file, ".shm", own)) {
        goto out;
    }
    const char *own_name = strrchr(own, '/') + 1;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (!is_segment_name(entry->d_name) || strcmp(entry->d_name, own_name) == 0) {
            continue;
        }
        int descriptor = openat(dirfd(directory), entry->d_name,
                                O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (descriptor < 0) {
            continue;
        }
        if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
            unlinkat(dirfd(directory), entry->d_name, 0);
        }
        close(descriptor);
    }
out:
    if (directory != NULL) {
        closedir(directory);
    }
}

/* Returns the descriptor that holds the makers' lock, or -1 (reported). */
static int lock_makers(const struct segment_file *file, struct buffer *problem)
{
    char path[PATH_SIZE];
    if (snprintf(path, sizeof path, "%s/segment.lock", file->directory) >= PATH_SIZE) {
        report(problem, "cannot use", file->directory, ENAMETOOLONG);
        return -1;
    }
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (descriptor < 0) {
        report(problem, "cannot create", path, errno);
        return -1;
    }
    give_to_owner_of_directory(file, descriptor);
    uint64_t deadline = clock_monotonic_nanoseconds() + LOCK_TIMEOUT_NANOSECONDS;
    while (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || clock_monotonic_nanoseconds() > deadline) {
            report(problem, "cannot lock", path, errno);
            close(descriptor);
            return -1;
        }
        struct timespec nap = {.tv_nsec = LOCK_NAP_NANOSECONDS};
        nanosleep(&nap, NULL);
    }
    return descriptor;
}

enum status segment_file_map(const struct segment_file *file, struct segment_header **header,
                             int *descriptor, struct buffer *problem)
{
    char path[PATH_SIZE];
    if (!make_path(file, ".shm", path)) {
        report(problem, "cannot use", file->directory, ENAMETOOLONG);
        return STATUS_UNAVAILABLE;
    }
    enum status status = map_existing(file, path, header, descriptor, problem);
    if (status == STATUS_OK || status == STATUS_UNAVAILABLE) {
        return status;
    }
    int lock = lock_makers(file, problem);
    if (lock < 0) {
        return STATUS_UNAVAILABLE;
    }
    for (int attempt = 0; attempt < MAP_ATTEMPTS; attempt++) {
        status = map_existing(file, path, header, descriptor, problem);
        if (status == STATUS_OK || status == STATUS_UNAVAILABLE) {
            break;
        }
        if (status == STATUS_BUSY) {
            continue;
        }
        status = make_file(file, path, problem);
        if (status != STATUS_OK) {
            break;
        }
        remove_unused_siblings(file);
        status = STATUS_BUSY;
    }
    close(lock);
    if (status == STATUS_BUSY) {
        report(problem, "cannot settle on", path, EBUSY);
        status = STATUS_UNAVAILABLE;
    }
    return status;
}
