/*
 * storage/ephemeral: see the header.
 */
#include "storage/ephemeral.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/siphash.h"

#define FILE_NAME    "charts.db"
#define SIZE_APART   (UINT64_C(16) << 20)
#define SIZE_MINIMUM (UINT64_C(1) << 20)

static enum status refuse(struct buffer *problem, const char *path, const char *why)
{
    buffer_append_format(problem,
                         "ENABLE_PERSISTENCE=false keeps charts in memory, but %s %s; mend that "
                         "or set ENABLE_PERSISTENCE=true",
                         path, why);
    return STATUS_UNAVAILABLE;
}

static bool is_memory(const struct statfs *system)
{
    unsigned long type = (unsigned long)system->f_type & 0xffffffff;
    return type == TMPFS_MAGIC || type == RAMFS_MAGIC;
}

static bool is_in_memory(const char *path)
{
    struct statfs system;
    return statfs(path, &system) == 0 && is_memory(&system);
}

/* ramfs, and tmpfs without a limit, tell no size. */
static uint64_t limit_of(const struct statfs *system)
{
    uint64_t size = (uint64_t)system->f_blocks * (uint64_t)system->f_bsize;
    if (size == 0) {
        size = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2;
    }
    return size < SIZE_APART + 3 * SIZE_MINIMUM ? SIZE_MINIMUM : (size - SIZE_APART) / 3;
}

/* Who STATE_DIR is and whose files are expected. */
struct identity {
    uint64_t hash;
    uid_t owner;
    gid_t group;
};

static enum status identify(const char *state_dir, struct identity *out, struct buffer *problem)
{
    struct statx state;
    if (statx(AT_FDCWD, state_dir, 0, STATX_BASIC_STATS | STATX_BTIME, &state) != 0) {
        return refuse(problem, state_dir, strerrordesc_np(errno));
    }
    bool has_birth = (state.stx_mask & STATX_BTIME) != 0;
    const uint64_t words[] = {
        makedev(state.stx_dev_major, state.stx_dev_minor),
        state.stx_ino,
        has_birth ? (uint64_t)state.stx_btime.tv_sec : 0,
        has_birth ? state.stx_btime.tv_nsec : 0,
    };
    static const struct siphash_key key = {{0, 0}}; /* nothing about it is secret */
    *out = (struct identity){
        .hash = siphash_compute(&key, words, sizeof words).words[0],
        .owner = geteuid() == 0 ? state.stx_uid : geteuid(),
        .group = state.stx_gid,
    };
    return STATUS_OK;
}

static bool is_own(const struct stat *found, const struct identity *identity, mode_t kind)
{
    return (found->st_mode & S_IFMT) == kind && found->st_uid == identity->owner &&
           (found->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

/* Of something just made by root. */
static bool give_away(int directory, const char *name, const struct identity *identity)
{
    return geteuid() == identity->owner ||
           fchownat(directory, name, identity->owner, identity->group, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Returns a descriptor, or -1 (refused). */
static int open_directory(const char *path, const struct identity *identity, struct buffer *problem)
{
    if (mkdir(path, S_IRWXU) == 0) {
        if (!give_away(AT_FDCWD, path, identity)) {
            (void)refuse(problem, path, strerrordesc_np(errno));
            return -1;
        }
    } else if (errno != EEXIST) {
        (void)refuse(problem, path, strerrordesc_np(errno));
        return -1;
    }
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat found;
    if (descriptor < 0 || fstat(descriptor, &found) != 0 || !is_own(&found, identity, S_IFDIR)) {
        (void)refuse(problem, path, "is not a directory of our own that nobody else may use");
        if (descriptor >= 0) {
            close(descriptor);
        }
        return -1;
    }
    return descriptor;
}

/* mknod makes the file without opening it: closing a descriptor of it would drop the locks that
 * other threads of this process have on it (fcntl(2)). */
static enum status settle_file(int directory, const char *path, const struct identity *identity,
                               struct buffer *problem)
{
    struct stat found;
    if (mknodat(directory, FILE_NAME, S_IFREG | S_IRUSR | S_IWUSR, 0) == 0) {
        if (!give_away(directory, FILE_NAME, identity)) {
            return refuse(problem, path, strerrordesc_np(errno));
        }
    } else if (errno != EEXIST) {
        return refuse(problem, path, strerrordesc_np(errno));
    }
    if (fstatat(directory, FILE_NAME, &found, AT_SYMLINK_NOFOLLOW) != 0 ||
        !is_own(&found, identity, S_IFREG) || found.st_nlink != 1) {
        return refuse(problem, path, "holds a " FILE_NAME " that is not our own");
    }
    return STATUS_OK;
}

enum status ephemeral_settle(struct ephemeral_place *out, const struct ephemeral_options *options,
                             struct buffer *problem)
{
    const char *parent = options->runtime_dir;
    if (!is_in_memory(parent)) {
        parent = options->common_directory;
    }
    if (!is_in_memory(parent)) {
        return refuse(problem, "RUNTIME_DIR", "is on no memory file system, nor is /dev/shm one");
    }
    struct identity identity;
    enum status status = identify(options->state_dir, &identity, problem);
    if (status != STATUS_OK) {
        return status;
    }
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/quintet-%016" PRIx64, parent, identity.hash);
    int url_length = snprintf(out->url, sizeof out->url, "sqlite:%s/" FILE_NAME, path);
    if (length >= (int)sizeof path || url_length >= (int)sizeof out->url) {
        return refuse(problem, "RUNTIME_DIR", strerrordesc_np(ENAMETOOLONG));
    }
    int directory = open_directory(path, &identity, problem);
    if (directory < 0) {
        return STATUS_UNAVAILABLE;
    }
    struct statfs system;
    if (fstatfs(directory, &system) != 0 || !is_memory(&system)) {
        status = refuse(problem, path, "is on no memory file system");
    } else {
        out->size_maximum = limit_of(&system);
        status = settle_file(directory, path, &identity, problem);
    }
    close(directory);
    return status;
}
