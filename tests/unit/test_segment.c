/*
 * The file of the segment: one for all, whatever lies in its place.
 */
#include "segment_regions.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "base/memory.h"
#include "segment/layout.h"

/* The path of the only segment file; fails when there are none or several. */
static void find_file(char path[512])
{
    DIR *directory = opendir(help_directory);
    assert_non_null(directory);
    int found = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        size_t length = strlen(entry->d_name);
        if (length > 4 && strcmp(entry->d_name + length - 4, ".shm") == 0) {
            snprintf(path, 512, "%s/%s", help_directory, entry->d_name);
            found++;
        }
    }
    closedir(directory);
    assert_int_equal(found, 1);
}

static size_t count_files(void)
{
    DIR *directory = opendir(help_directory);
    assert_non_null(directory);
    size_t count = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        count += strncmp(entry->d_name, "segment-", 8) == 0;
    }
    closedir(directory);
    return count;
}

static size_t count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    size_t count = 0;
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

/* Makes a segment, changes its file and checks that the next process starts a fresh one. */
static void make_and_close(char path[512])
{
    struct segment *segment = help_open("maker", regions, REGION_COUNT);
    assert_non_null(segment);
    atomic_store(&alpha(segment)->counter, 41);
    segment_close(segment);
    find_file(path);
}

static void assert_replaced(void)
{
    struct segment *segment = help_open("finder", regions, REGION_COUNT);
    assert_non_null(segment);
    assert_int_equal(atomic_load(&alpha(segment)->counter), 0);
    struct segment_process_info info[SEGMENT_PROCESS_MAXIMUM];
    assert_int_equal(segment_list_processes(segment, info, SEGMENT_PROCESS_MAXIMUM), 1);
    segment_close(segment);
    char path[512];
    find_file(path);
}

static void overwrite(const char *path, off_t offset, const void *bytes, size_t length)
{
    int descriptor = open(path, O_WRONLY);
    assert_true(descriptor >= 0);
    assert_int_equal(pwrite(descriptor, bytes, length, offset), (ssize_t)length);
    close(descriptor);
}

/* --- the file ------------------------------------------------------------------------------ */

static void fresh_regions_are_zero_and_aligned(void **state)
{
    (void)state;
    struct segment *segment = help_open("test", regions, REGION_COUNT);
    assert_non_null(segment);
    for (size_t i = 0; i < REGION_COUNT; i++) {
        const unsigned char *bytes = segment_find(segment, regions[i].name);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % 4096, 0);
        for (size_t at = 0; at < regions[i].size; at++) {
            assert_int_equal(bytes[at], 0);
        }
    }
    assert_null(segment_find(segment, "gamma"));
    assert_true(llabs(segment_created_wall_milliseconds(segment) - clock_wall_milliseconds()) <
                10000);
    segment_close(segment);
}

static void content_outlives_its_processes(void **state)
{
    (void)state;
    struct segment *segment = help_open("first", regions, REGION_COUNT);
    assert_non_null(segment);
    atomic_store(&alpha(segment)->counter, 5);
    struct siphash_key secret = *segment_secret(segment);
    segment_close(segment);
    segment = help_open("second", regions, REGION_COUNT);
    assert_non_null(segment);
    assert_int_equal(atomic_load(&alpha(segment)->counter), 5);
    assert_memory_equal(&secret, segment_secret(segment), sizeof secret);
    assert_true(secret.words[0] != 0 && secret.words[1] != 0);
    segment_close(segment);
}

static void file_is_private_and_closed_on_exec(void **state)
{
    (void)state;
    mode_t old_mask = umask(0);
    struct segment *segment = help_open("test", regions, REGION_COUNT);
    umask(old_mask);
    assert_non_null(segment);
    char path[512];
    find_file(path);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_true(status.st_blocks * 512 >= status.st_size);
    snprintf(path, sizeof path, "%s/segment.lock", help_directory);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(fcntl(segment->descriptor, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    segment_close(segment);
}

static void garbage_is_replaced(void **state)
{
    (void)state;
    char path[512];
    make_and_close(path);
    unsigned char garbage[16384];
    random_bytes(garbage, sizeof garbage);
    overwrite(path, 0, garbage, sizeof garbage);
    assert_replaced();
}

static void truncated_empty_and_longer_files_are_replaced(void **state)
{
    (void)state;
    static const off_t changes[] = {-1, -4096, 4096};
    char path[512];
    for (size_t i = 0; i < 3; i++) {
        make_and_close(path);
        struct stat status;
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(truncate(path, status.st_size + changes[i]), 0);
        assert_replaced();
    }
    make_and_close(path);
    assert_int_equal(truncate(path, 0), 0);
    assert_replaced();
}

static void foreign_headers_are_replaced(void **state)
{
    (void)state;
    static const size_t fields[] = {
        offsetof(struct segment_header, magic),
        offsetof(struct segment_header, layout_version),
        offsetof(struct segment_header, region_count),
        offsetof(struct segment_header, identity),
        offsetof(struct segment_header, size),
        offsetof(struct segment_header, boot_id),
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        char path[512];
        make_and_close(path);
        overwrite(path, (off_t)fields[i], "\x55\xaa\x55", 3);
        assert_replaced();
    }
}

static void segment_of_an_earlier_boot_is_replaced_even_when_boot_ids_are_hidden(void **state)
{
    (void)state;
    char path[512];
    make_and_close(path);
    /* The maker saw no boot id; the machine has been started again a day later. */
    char none[SEGMENT_BOOT_ID_SIZE] = "";
    int64_t created = clock_wall_milliseconds() - 24 * 3600 * INT64_C(1000);
    overwrite(path, offsetof(struct segment_header, boot_id), none, sizeof none);
    overwrite(path, offsetof(struct segment_header, created_wall_milliseconds), &created,
              sizeof created);
    assert_replaced();
}

static void segment_without_boot_id_of_this_boot_is_kept(void **state)
{
    (void)state;
    char path[512];
    make_and_close(path);
    char none[SEGMENT_BOOT_ID_SIZE] = "";
    overwrite(path, offsetof(struct segment_header, boot_id), none, sizeof none);
    struct segment *segment = help_open("finder", regions, REGION_COUNT);
    assert_non_null(segment);
    assert_int_equal(atomic_load(&alpha(segment)->counter), 41);
    segment_close(segment);
}

static void symbolic_link_is_replaced_and_its_target_untouched(void **state)
{
    (void)state;
    char path[512];
    char target[600];
    make_and_close(path);
    snprintf(target, sizeof target, "%s/precious", help_directory);
    assert_int_equal(rename(path, target), 0);
    struct stat before;
    assert_int_equal(stat(target, &before), 0);
    assert_int_equal(symlink(target, path), 0);
    assert_replaced();
    struct stat after;
    assert_int_equal(lstat(path, &after), 0);
    assert_true(S_ISREG(after.st_mode));
    assert_int_equal(stat(target, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
}

static void pipe_in_its_place_is_replaced(void **state)
{
    (void)state;
    char path[512];
    make_and_close(path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_replaced();
}

static void left_over_of_a_killed_maker_is_removed(void **state)
{
    (void)state;
    char path[512];
    char unfinished[520];
    make_and_close(path);
    assert_int_equal(unlink(path), 0);
    path[strlen(path) - 4] = '\0';
    snprintf(unfinished, sizeof unfinished, "%s.new", path);
    int descriptor = open(unfinished, O_WRONLY | O_CREAT, 0666);
    assert_true(descriptor >= 0);
    close(descriptor);
    assert_replaced();
    assert_int_equal(count_files(), 1);
}

static void assert_unavailable(const char *directory, const char *expected)
{
    struct segment *segment = NULL;
    struct buffer problem;
    buffer_init(&problem, 8192);
    size_t descriptors = count_descriptors();
    assert_int_equal(segment_open(&segment, directory, "test", regions, REGION_COUNT, &problem),
                     STATUS_UNAVAILABLE);
    assert_null(segment);
    if (strstr(buffer_text(&problem), expected) == NULL) {
        fail_msg("problem is: %s", buffer_text(&problem));
    }
    assert_int_equal(count_descriptors(), descriptors);
    buffer_release(&problem);
}

static void missing_directory_is_reported(void **state)
{
    (void)state;
    char missing[sizeof help_directory + 16];
    snprintf(missing, sizeof missing, "%s/unmade", help_directory);
    assert_unavailable(missing, "No such file or directory");
}

static void overlong_directory_is_reported(void **state)
{
    (void)state;
    static char directory[5000];
    memset(directory, 'x', sizeof directory - 1);
    assert_unavailable(directory, "File name too long");
}

static void directory_in_its_place_is_reported(void **state)
{
    (void)state;
    char path[512];
    make_and_close(path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_unavailable(help_directory, "Is a directory");
}

static int open_on_full_disk(void *context)
{
    (void)context;
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    struct segment *segment = NULL;
    struct buffer problem;
    buffer_init(&problem, 1024);
    enum status status =
        segment_open(&segment, help_directory, "test", regions, REGION_COUNT, &problem);
    return status == STATUS_UNAVAILABLE && segment == NULL &&
                   strstr(buffer_text(&problem), "cannot allocate") != NULL
               ? 0
               : 1;
}

static void full_disk_is_reported_and_leaves_no_file(void **state)
{
    (void)state;
    assert_int_equal(help_wait(help_fork(open_on_full_disk, NULL)), 0);
    assert_int_equal(count_files(), 0);
}

static void survive_failing_allocations(void (*mode)(unsigned long n))
{
    size_t descriptors = count_descriptors();
    for (unsigned long n = 1;; n++) {
        struct segment *segment = NULL;
        mode(n);
        enum status status =
            segment_open(&segment, help_directory, "test", regions, REGION_COUNT, NULL);
        unsigned long failures = memory_failures_seen();
        memory_fail_after(0);
        segment_close(segment);
        assert_int_equal(count_descriptors(), descriptors);
        if (failures == 0) {
            assert_int_equal(status, STATUS_OK);
            assert_true(n > 1);
            break;
        }
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
}

static void every_failing_allocation_is_survived(void **state)
{
    (void)state;
    survive_failing_allocations(memory_fail_after);
    survive_failing_allocations(memory_fail_only);
}

static void number_of_regions_is_bounded(void **state)
{
    (void)state;
    struct segment *segment = NULL;
    struct segment_region many[33];
    char names[33][16];
    for (size_t i = 0; i < 33; i++) {
        snprintf(names[i], sizeof names[i], "region %zu", i);
        many[i] = (struct segment_region){.name = names[i], .size = 64, .schema = 1};
    }
    assert_int_equal(segment_open(&segment, help_directory, "test", many, 0, NULL), STATUS_INVALID);
    assert_int_equal(segment_open(&segment, help_directory, "test", many, 33, NULL),
                     STATUS_INVALID);
    assert_null(segment);
    assert_int_equal(count_files(), 0);
    segment = help_open("test", many, 32);
    assert_non_null(segment);
    char *before = segment_find(segment, names[0]);
    for (size_t i = 1; i < 32; i++) {
        char *region = segment_find(segment, names[i]);
        assert_int_equal(region - before, 4096);
        before = region;
    }
    segment_close(segment);
}

/* As if the file had been made `wall` milliseconds of this clock and `boot` milliseconds since the
 * machine's start ago, by somebody who could not read the boot id. */
static bool is_kept_when_made(int64_t wall, int64_t boot)
{
    char path[512];
    make_and_close(path);
    char none[SEGMENT_BOOT_ID_SIZE] = "";
    int64_t created_wall = clock_wall_milliseconds() - wall;
    int64_t created_boot = (int64_t)clock_boot_nanoseconds() - boot * 1000000;
    overwrite(path, offsetof(struct segment_header, boot_id), none, sizeof none);
    overwrite(path, offsetof(struct segment_header, created_wall_milliseconds), &created_wall,
              sizeof created_wall);
    overwrite(path, offsetof(struct segment_header, created_boot_nanoseconds), &created_boot,
              sizeof created_boot);
    struct segment *segment = help_open("finder", regions, REGION_COUNT);
    assert_non_null(segment);
    bool is_kept = atomic_load(&alpha(segment)->counter) == 41;
    segment_close(segment);
    assert_int_equal(unlink(path), 0);
    return is_kept;
}

static void without_boot_ids_a_start_within_a_minute_is_the_same(void **state)
{
    (void)state;
    assert_true(is_kept_when_made(3000, 3000));
    assert_true(is_kept_when_made(3000 + 55000, 3000));
    assert_true(is_kept_when_made(3000 - 55000, 3000));
    assert_false(is_kept_when_made(3000 + 65000, 3000));
    assert_false(is_kept_when_made(3000 - 65000, 3000));
    /* Made later after the start than it is now: before the machine was started again. */
    assert_false(is_kept_when_made(-10000, -10000));
}

static int open_in_a_pid_namespace(void *context)
{
    (void)context;
    struct segment *segment = help_open("inside", regions, REGION_COUNT);
    return segment != NULL ? 0 : 1;
}

static int enter_a_pid_namespace(void *context)
{
    if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) {
        return 77;
    }
    /* /proc shows the reader's own pid namespace; this process stays outside, its children do not. */
    if (help_wait(help_fork(open_in_a_pid_namespace, context)) != 0) {
        return 1;
    }
    return 0;
}

/* A pid means nothing in another one. */
static void pid_namespaces_that_share_a_directory_have_a_segment_each(void **state)
{
    (void)state;
    struct segment *segment = help_open("outside", regions, REGION_COUNT);
    assert_non_null(segment);
    int result = help_wait(help_fork(enter_a_pid_namespace, NULL));
    if (result == 77) {
        segment_close(segment);
        skip();
    }
    assert_int_equal(result, 0);
    assert_int_equal(count_files(), 2);
    segment_close(segment);
}

/* A root shell with the command line tool must not lock the daemons out. */
static void files_that_root_makes_belong_to_the_owner_of_the_directory(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(chown(help_directory, 4321, 1234), 0);
    char path[512];
    struct stat status;
    make_and_close(path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_uid, 4321);
    assert_int_equal(status.st_gid, 1234);
    snprintf(path, sizeof path, "%s/segment.lock", help_directory);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_uid, 4321);
}

static void builds_with_different_schemas_do_not_disturb_each_other(void **state)
{
    (void)state;
    struct segment_region other[REGION_COUNT];
    memcpy(other, regions, sizeof other);
    other[0].schema++;
    struct segment *old_build = help_open("old", regions, REGION_COUNT);
    struct segment *new_build = help_open("new", other, REGION_COUNT);
    assert_non_null(old_build);
    assert_non_null(new_build);
    atomic_store(&alpha(old_build)->counter, 1);
    atomic_store(&alpha(new_build)->counter, 2);
    assert_int_equal(count_files(), 2);
    struct segment *again = help_open("old", regions, REGION_COUNT);
    assert_non_null(again);
    assert_int_equal(atomic_load(&alpha(again)->counter), 1);
    segment_close(again);
    segment_close(old_build);
    segment_close(new_build);
}

static void segments_that_nobody_uses_any_more_are_removed(void **state)
{
    (void)state;
    struct segment_region other[REGION_COUNT];
    memcpy(other, regions, sizeof other);
    char path[512];
    make_and_close(path);
    other[0].schema = 8;
    struct segment *used = help_open("used", other, REGION_COUNT);
    assert_non_null(used);
    assert_int_equal(count_files(), 1); /* the first one is gone */
    other[0].schema = 9;
    struct segment *newest = help_open("newest", other, REGION_COUNT);
    assert_non_null(newest);
    assert_int_equal(count_files(), 2); /* the one in use has stayed */
    segment_close(used);
    segment_close(newest);
}

struct race {
    _Atomic uint32_t ready;
    _Atomic uint32_t go;
};

static int join_race(void *context)
{
    struct race *race = context;
    atomic_fetch_add(&race->ready, 1);
    help_await(&race->go, 1);
    struct segment *segment = help_open("racer", regions, REGION_COUNT);
    if (segment == NULL) {
        return 1;
    }
    atomic_fetch_add(&alpha(segment)->counter, 1);
    segment_close(segment);
    return 0;
}

static void racing_processes_get_the_same_segment(void **state)
{
    (void)state;
    struct race *race = help_share(sizeof *race);
    enum { RACERS = 20 };
    pid_t racers[RACERS];
    for (int i = 0; i < RACERS; i++) {
        racers[i] = help_fork(join_race, race);
    }
    help_await(&race->ready, RACERS);
    atomic_store(&race->go, 1);
    for (int i = 0; i < RACERS; i++) {
        assert_int_equal(help_wait(racers[i]), 0);
    }
    struct segment *segment = help_open("judge", regions, REGION_COUNT);
    assert_non_null(segment);
    assert_int_equal(atomic_load(&alpha(segment)->counter), RACERS);
    segment_close(segment);
    munmap(race, sizeof *race);
}

int main(void)
{
    alarm(HELP_SECONDS_PER_BINARY);
    const struct CMUnitTest tests[] = {
        SEGMENT_TEST(fresh_regions_are_zero_and_aligned),
        SEGMENT_TEST(content_outlives_its_processes),
        SEGMENT_TEST(file_is_private_and_closed_on_exec),
        SEGMENT_TEST(garbage_is_replaced),
        SEGMENT_TEST(truncated_empty_and_longer_files_are_replaced),
        SEGMENT_TEST(foreign_headers_are_replaced),
        SEGMENT_TEST(segment_of_an_earlier_boot_is_replaced_even_when_boot_ids_are_hidden),
        SEGMENT_TEST(segment_without_boot_id_of_this_boot_is_kept),
        SEGMENT_TEST(symbolic_link_is_replaced_and_its_target_untouched),
        SEGMENT_TEST(pipe_in_its_place_is_replaced),
        SEGMENT_TEST(left_over_of_a_killed_maker_is_removed),
        SEGMENT_TEST(missing_directory_is_reported),
        SEGMENT_TEST(overlong_directory_is_reported),
        SEGMENT_TEST(directory_in_its_place_is_reported),
        SEGMENT_TEST(full_disk_is_reported_and_leaves_no_file),
        SEGMENT_TEST(every_failing_allocation_is_survived),
        SEGMENT_TEST(number_of_regions_is_bounded),
        SEGMENT_TEST(without_boot_ids_a_start_within_a_minute_is_the_same),
        SEGMENT_TEST(pid_namespaces_that_share_a_directory_have_a_segment_each),
        SEGMENT_TEST(files_that_root_makes_belong_to_the_owner_of_the_directory),
        SEGMENT_TEST(builds_with_different_schemas_do_not_disturb_each_other),
        SEGMENT_TEST(segments_that_nobody_uses_any_more_are_removed),
        SEGMENT_TEST(racing_processes_get_the_same_segment),
    };
    return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
