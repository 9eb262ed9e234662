/*
 * Where charts go that must not reach a disk: one place for each installation, in memory, and only
 * if it is nobody else's.
 */
#include "database_help.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "storage/ephemeral.h"

#define NOT_MEMORY "/proc"

/* The file system that an open directory pretends to be on; all zeros: the real one. */
static struct {
    unsigned long type;
    uint64_t size; /* bytes */
    bool has_no_size;
} pretended;

int fstatfs(int descriptor, struct statfs *out)
{
    int result = (int)syscall(SYS_fstatfs, descriptor, out);
    if (pretended.type != 0) {
        out->f_type = (__typeof__(out->f_type))pretended.type;
    }
    if (pretended.size != 0 || pretended.has_no_size) {
        out->f_bsize = 4096;
        out->f_blocks = pretended.size / 4096;
    }
    return result;
}

struct fixture {
    char disk[64];   /* STATE_DIR, and what else may be anywhere */
    char memory[64]; /* on a memory file system */
    struct buffer problem;
};

static bool has_memory(void)
{
    struct statfs system;
    return statfs(EPHEMERAL_COMMON_DIRECTORY, &system) == 0 && system.f_type == TMPFS_MAGIC;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    *state = fixture;
    buffer_init(&fixture->problem, 8192);
    memset(&pretended, 0, sizeof(pretended));
    snprintf(fixture->disk, sizeof(fixture->disk), "/tmp/quintet-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->disk));
    if (has_memory()) {
        snprintf(fixture->memory, sizeof(fixture->memory),
                 EPHEMERAL_COMMON_DIRECTORY "/quintet-test-XXXXXX");
        assert_non_null(mkdtemp(fixture->memory));
    }
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    if (fixture == NULL) {
        return 0; /* the setup failed */
    }
    nftw(fixture->disk, database_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    if (fixture->memory[0] != '\0') {
        nftw(fixture->memory, database_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    }
    buffer_release(&fixture->problem);
    free(fixture);
    return 0;
}

/* Where RUNTIME_DIR is in memory; without a memory file system the test is left out. */
static struct ephemeral_options options_of(const struct fixture *fixture)
{
    if (fixture->memory[0] == '\0') {
        skip();
    }
    return (struct ephemeral_options){
        .state_dir = fixture->disk, .runtime_dir = fixture->memory, .common_directory = NOT_MEMORY};
}

static struct ephemeral_place settle(struct fixture *fixture,
                                     const struct ephemeral_options *options)
{
    struct ephemeral_place place;
    if (ephemeral_settle(&place, options, &fixture->problem) != STATUS_OK) {
        fail_msg("%s", buffer_text(&fixture->problem));
    }
    return place;
}

static void assert_refused(struct fixture *fixture, const struct ephemeral_options *options,
                           const char *why)
{
    struct ephemeral_place place;
    buffer_reset(&fixture->problem);
    assert_int_equal(ephemeral_settle(&place, options, &fixture->problem), STATUS_UNAVAILABLE);
    const char *text = buffer_text(&fixture->problem);
    if (strstr(text, why) == NULL || strstr(text, "ENABLE_PERSISTENCE") == NULL ||
        strchr(text, '\n') != NULL) {
        fail_msg("said: %s", text);
    }
}

static const char *path_of(const struct ephemeral_place *place)
{
    return place->url + strlen("sqlite:");
}

static void directory_of(const struct ephemeral_place *place, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s", path_of(place));
    *strrchr(out, '/') = '\0';
}

/* --- Where -------------------------------------------------------------------------------- */

static void the_runtime_directory_is_taken_when_it_is_in_memory(void **state)
{
    struct ephemeral_options options = options_of(*state);
    struct ephemeral_place place = settle(*state, &options);
    assert_memory_equal(path_of(&place), options.runtime_dir, strlen(options.runtime_dir));
    char directory[PATH_MAX];
    directory_of(&place, directory);
    struct stat found;
    assert_int_equal(stat(directory, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0700);
    assert_int_equal(lstat(path_of(&place), &found), 0);
    assert_true(S_ISREG(found.st_mode));
    assert_int_equal(found.st_mode & 07777, 0600);
}

static void otherwise_the_memory_common_to_all_is_taken(void **state)
{
    struct fixture *fixture = *state;
    struct ephemeral_options options = options_of(fixture);
    options.runtime_dir = NOT_MEMORY;
    options.common_directory = fixture->memory;
    struct ephemeral_place place = settle(fixture, &options);
    assert_memory_equal(path_of(&place), fixture->memory, strlen(fixture->memory));
}

static void without_a_memory_file_system_it_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct ephemeral_options options = {
        .state_dir = fixture->disk, .runtime_dir = NOT_MEMORY, .common_directory = NOT_MEMORY};
    assert_refused(fixture, &options, "no memory file system");
}

static void an_installation_meets_itself_whatever_its_path_is_called(void **state)
{
    struct fixture *fixture = *state;
    struct ephemeral_options options = options_of(fixture);
    struct ephemeral_place first = settle(fixture, &options);
    struct ephemeral_place again = settle(fixture, &options);
    assert_string_equal(first.url, again.url);
    char other_name[96];
    snprintf(other_name, sizeof(other_name), "%s-link", fixture->disk);
    assert_int_equal(symlink(fixture->disk, other_name), 0);
    options.state_dir = other_name;
    again = settle(fixture, &options);
    unlink(other_name);
    assert_string_equal(first.url, again.url);
}

static void installations_do_not_meet(void **state)
{
    struct fixture *fixture = *state;
    struct ephemeral_options options = options_of(fixture);
    struct ephemeral_place first = settle(fixture, &options);
    char other[96];
    snprintf(other, sizeof(other), "%s/other", fixture->disk);
    assert_int_equal(mkdir(other, 0700), 0);
    options.state_dir = other;
    struct ephemeral_place second = settle(fixture, &options);
    assert_string_not_equal(first.url, second.url);
}

static void the_limit_leaves_most_of_the_memory_to_the_log(void **state)
{
    struct fixture *fixture = *state;
    struct ephemeral_options options = options_of(fixture);
    struct ephemeral_place place = settle(fixture, &options);
    struct statfs system;
    assert_int_equal(statfs(fixture->memory, &system), 0);
    uint64_t size = (uint64_t)system.f_blocks * (uint64_t)system.f_bsize;
    assert_true(place.size_maximum >= (uint64_t)1 << 20);
    assert_true(size == 0 || place.size_maximum <= size / 3);
}

#define MIB ((uint64_t)1 << 20)

static void the_limit_is_a_third_of_what_there_is_beyond_sixteen_megabytes(void **state)
{
    static const struct {
        uint64_t size;
        uint64_t limit;
    } cases[] = {
        {1 * MIB, 1 * MIB},  {16 * MIB, 1 * MIB}, {19 * MIB - 4096, 1 * MIB},
        {19 * MIB, 1 * MIB}, {22 * MIB, 2 * MIB}, {1024 * MIB, 336 * MIB},
    };
    struct fixture *fixture = *state;
    struct ephemeral_options options = options_of(fixture);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pretended.size = cases[i].size;
        assert_int_equal(settle(fixture, &options).size_maximum, cases[i].limit);
    }
    /* Where no limit is set, half of the machine's memory is there. */
    pretended.size = 0;
    pretended.has_no_size = true;
    pretended.type = RAMFS_MAGIC;
    uint64_t half = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2;
    assert_int_equal(settle(fixture, &options).size_maximum, (half - 16 * MIB) / 3);
}

/* Something may have been mounted over the place. */
static void a_place_that_is_in_no_memory_after_all_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct ephemeral_options options = options_of(fixture);
    pretended.type = EXT4_SUPER_MAGIC;
    assert_refused(fixture, &options, "is on no memory file system");
}

static void a_state_directory_that_is_not_there_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct ephemeral_options options = options_of(fixture);
    options.state_dir = "/nowhere/state";
    assert_refused(fixture, &options, "/nowhere/state No such file or directory");
}

static void a_path_that_is_too_long_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct ephemeral_options options = options_of(fixture);
    /* As long as a path may be, and in memory; what is put behind it is too much. */
    static char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", fixture->memory);
    size_t length = strlen(path);
    while (length < sizeof(path) - 30) {
        path[length++] = '/';
    }
    options.runtime_dir = path;
    assert_refused(fixture, &options, "RUNTIME_DIR File name too long");
}

/* --- Whose -------------------------------------------------------------------------------- */

/* Makes the place, then lets `spoil` put something else there. */
static void assert_spoilt_is_refused(struct fixture *fixture,
                                     void (*spoil)(const char *directory, const char *file),
                                     const char *why)
{
    struct ephemeral_options options = options_of(fixture);
    struct ephemeral_place place = settle(fixture, &options);
    char directory[PATH_MAX];
    directory_of(&place, directory);
    spoil(directory, path_of(&place));
    assert_refused(fixture, &options, why);
}

static void link_directory(const char *directory, const char *file)
{
    char elsewhere[PATH_MAX];
    snprintf(elsewhere, sizeof(elsewhere), "%s-moved", directory);
    (void)file;
    assert_int_equal(rename(directory, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, directory), 0);
}

static void make_a_file_of_it(const char *directory, const char *file)
{
    assert_int_equal(remove(file), 0);
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(mknod(directory, S_IFREG | 0600, 0), 0);
}

static void open_directory_to_others(const char *directory, const char *file)
{
    (void)file;
    assert_int_equal(chmod(directory, 0750), 0);
}

static void give_directory_away(const char *directory, const char *file)
{
    (void)file;
    assert_int_equal(chown(directory, 12345, 12345), 0);
}

static void link_file(const char *directory, const char *file)
{
    (void)directory;
    assert_int_equal(remove(file), 0);
    assert_int_equal(symlink("/tmp/nowhere", file), 0);
}

static void open_file_to_others(const char *directory, const char *file)
{
    (void)directory;
    assert_int_equal(chmod(file, 0640), 0);
}

static void give_file_another_name(const char *directory, const char *file)
{
    char other[PATH_MAX];
    snprintf(other, sizeof(other), "%s/other", directory);
    assert_int_equal(link(file, other), 0);
}

static void a_foreign_directory_is_refused(void **state)
{
    static void (*const spoilers[])(const char *, const char *) = {
        link_directory, make_a_file_of_it, open_directory_to_others, give_directory_away};
    struct fixture *fixture = *state;
    size_t count = sizeof(spoilers) / sizeof(spoilers[0]);
    int next_descriptor = dup(0);
    close(next_descriptor);
    for (size_t i = 0; i < (geteuid() == 0 ? count : count - 1); i++) {
        assert_spoilt_is_refused(fixture, spoilers[i], "not a directory of our own");
        nftw(fixture->memory, database_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
        assert_int_equal(mkdir(fixture->memory, 0700), 0);
    }
    assert_int_equal(dup(0), next_descriptor); /* none is left open */
    close(next_descriptor);
}

static void a_foreign_file_is_refused(void **state)
{
    static void (*const spoilers[])(const char *, const char *) = {link_file, open_file_to_others,
                                                                   give_file_another_name};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(spoilers) / sizeof(spoilers[0]); i++) {
        assert_spoilt_is_refused(fixture, spoilers[i], "not our own");
        nftw(fixture->memory, database_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
        assert_int_equal(mkdir(fixture->memory, 0700), 0);
    }
}

static void what_root_makes_belongs_to_the_owner_of_the_state(void **state)
{
    struct fixture *fixture = *state;
    struct ephemeral_options options = options_of(fixture);
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(chown(fixture->disk, 12345, 12346), 0);
    struct ephemeral_place place = settle(fixture, &options);
    char directory[PATH_MAX];
    directory_of(&place, directory);
    struct stat found;
    assert_int_equal(stat(directory, &found), 0);
    assert_int_equal(found.st_uid, 12345);
    assert_int_equal(lstat(path_of(&place), &found), 0);
    assert_int_equal(found.st_uid, 12345);
    settle(fixture, &options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_runtime_directory_is_taken_when_it_is_in_memory, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(otherwise_the_memory_common_to_all_is_taken, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_a_memory_file_system_it_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_installation_meets_itself_whatever_its_path_is_called,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(installations_do_not_meet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_limit_leaves_most_of_the_memory_to_the_log, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            the_limit_is_a_third_of_what_there_is_beyond_sixteen_megabytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_place_that_is_in_no_memory_after_all_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_state_directory_that_is_not_there_is_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_path_that_is_too_long_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_foreign_directory_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_foreign_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_root_makes_belongs_to_the_owner_of_the_state, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
