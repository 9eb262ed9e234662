/*
 * Tests of base/file: whole files, also when something goes wrong or two do it at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/memory.h"

#define NOBODY 65534

static char directory[] = "/tmp/quintet-test-file-XXXXXX";
static struct arena arena;

static const char *path_of(const char *name)
{
    const char *path = arena_format(&arena, "%s/%s", directory, name);
    assert_non_null(path);
    return path;
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    memcpy(directory + sizeof(directory) - 7, "XXXXXX", 6);
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_destroy(&arena);
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", directory, (char *)NULL);
        _exit(127);
    }
    int result = -1;
    waitpid(child, &result, 0);
    return result;
}

static size_t count_entries(void)
{
    size_t count = 0;
    DIR *open_directory = opendir(directory);
    assert_non_null(open_directory);
    while (readdir(open_directory) != NULL) {
        count++;
    }
    closedir(open_directory);
    return count - 2; /* "." and ".." */
}

static void assert_content(const char *path, const char *expected)
{
    struct buffer content;
    buffer_init(&content, 1 << 20);
    assert_int_equal(file_read(path, &content), STATUS_OK);
    assert_string_equal(buffer_text(&content), expected);
    buffer_release(&content);
}

static void what_is_not_there_is_not_found(void **state)
{
    (void)state;
    struct buffer content;
    buffer_init(&content, 10);
    assert_int_equal(file_read(path_of("none"), &content), STATUS_NOT_FOUND);
    assert_int_equal(file_read("", &content), STATUS_NOT_FOUND);
    assert_int_equal(file_write(path_of("none/file"), "a", 1, 0600), STATUS_NOT_FOUND);
    assert_int_equal(file_create(path_of("none/file"), "a", 1, 0600), STATUS_NOT_FOUND);
    assert_int_equal(file_write(path_of("file"), "a", 1, 0600), STATUS_OK);
    assert_int_equal(file_read(path_of("file/file"), &content), STATUS_NOT_FOUND);
    /* None of this broke the buffer. */
    assert_int_equal(file_read(path_of("file"), &content), STATUS_OK);
    assert_string_equal(buffer_text(&content), "a");
    buffer_release(&content);
}

static void a_directory_is_no_file(void **state)
{
    (void)state;
    struct buffer content;
    buffer_init(&content, 10);
    assert_int_equal(file_read(directory, &content), STATUS_INTERNAL);
    buffer_release(&content);
    assert_int_not_equal(file_write(directory, "a", 1, 0600), STATUS_OK);
    assert_int_equal(file_create(directory, "a", 1, 0600), STATUS_CONFLICT);
}

static void what_may_not_be_opened_is_denied(void **state)
{
    (void)state;
    assert_int_equal(file_write(path_of("secret"), "a", 1, 0), STATUS_OK);
    assert_int_equal(chmod(directory, 0555), 0);
    /* The superuser may do everything, so somebody else must try. */
    bool superuser = geteuid() == 0;
    if (superuser) {
        assert_int_equal(seteuid(NOBODY), 0);
    }
    struct buffer content;
    buffer_init(&content, 10);
    enum status read_status = file_read(path_of("secret"), &content);
    enum status write_status = file_write(path_of("other"), "a", 1, 0600);
    enum status create_status = file_create(path_of("other"), "a", 1, 0600);
    enum status directory_status = file_make_directory(path_of("a/b"), 0700);
    if (superuser) {
        assert_int_equal(seteuid(0), 0);
    }
    buffer_release(&content);
    assert_int_equal(chmod(directory, 0700), 0);
    assert_int_equal(read_status, STATUS_DENIED);
    assert_int_equal(write_status, STATUS_DENIED);
    assert_int_equal(create_status, STATUS_DENIED);
    assert_int_equal(directory_status, STATUS_DENIED);
    assert_int_equal(count_entries(), 1);
}

static void names_that_are_too_long_are_invalid(void **state)
{
    (void)state;
    char path[PATH_MAX + 10];
    memset(path, 'a', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    struct buffer content;
    buffer_init(&content, 10);
    assert_int_equal(file_read(path, &content), STATUS_INVALID);
    assert_int_equal(file_write(path, "a", 1, 0600), STATUS_INVALID);
    assert_int_equal(file_create(path, "a", 1, 0600), STATUS_INVALID);
    assert_int_equal(file_make_directory(path, 0700), STATUS_INVALID);
    assert_int_equal(file_make_directory("", 0700), STATUS_INVALID);
    buffer_release(&content);
}

static void reading_appends_and_keeps_every_byte(void **state)
{
    (void)state;
    static char bytes[100000];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(i * 7);
    }
    assert_int_equal(file_write(path_of("file"), bytes, sizeof(bytes), 0600), STATUS_OK);
    struct buffer content;
    buffer_init(&content, sizeof(bytes) + 7);
    assert_int_equal(buffer_append_text(&content, "before:"), STATUS_OK);
    assert_int_equal(file_read(path_of("file"), &content), STATUS_OK);
    assert_int_equal(content.length, sizeof(bytes) + 7);
    assert_memory_equal(content.data, "before:", 7);
    assert_memory_equal(content.data + 7, bytes, sizeof(bytes));
    buffer_release(&content);
}

static void files_without_a_size_are_read_to_their_end(void **state)
{
    (void)state;
    struct buffer content;
    buffer_init(&content, 1 << 20);
    assert_int_equal(file_read("/proc/self/status", &content), STATUS_OK);
    assert_non_null(strstr(buffer_text(&content), "Threads:"));
    buffer_release(&content);
}

static void a_file_of_exactly_the_maximum_fits_and_one_byte_more_does_not(void **state)
{
    (void)state;
    struct buffer content;
    buffer_init(&content, 5);
    assert_int_equal(file_write(path_of("five"), "12345", 5, 0600), STATUS_OK);
    assert_int_equal(file_write(path_of("six"), "123456", 6, 0600), STATUS_OK);
    assert_int_equal(file_read(path_of("six"), &content), STATUS_TOO_LARGE);
    /* A refused file leaves nothing behind. */
    assert_int_equal(content.length, 0);
    assert_int_equal(file_read(path_of("five"), &content), STATUS_OK);
    assert_string_equal(buffer_text(&content), "12345");
    assert_int_equal(file_read(path_of("five"), &content), STATUS_TOO_LARGE);
    assert_string_equal(buffer_text(&content), "12345");
    buffer_release(&content);
}

static void reading_without_memory_is_reported(void **state)
{
    (void)state;
    assert_int_equal(file_write(path_of("file"), "12345", 5, 0600), STATUS_OK);
    const char *path = path_of("file");
    struct buffer content;
    buffer_init(&content, 5);
    memory_fail_after(1);
    enum status status = file_read(path, &content);
    memory_fail_after(0);
    assert_int_equal(status, STATUS_NO_MEMORY);
    buffer_release(&content);
}

static void the_mode_is_exact_whatever_the_umask(void **state)
{
    (void)state;
    static const mode_t umasks[] = {0, 077};
    for (size_t i = 0; i < 2; i++) {
        mode_t before = umask(umasks[i]);
        assert_int_equal(file_write(path_of("written"), "a", 1, 0640), STATUS_OK);
        assert_int_equal(file_create(path_of("created"), "a", 1, 0604), STATUS_OK);
        umask(before);
        struct stat facts;
        assert_int_equal(stat(path_of("written"), &facts), 0);
        assert_int_equal(facts.st_mode & 07777, 0640);
        assert_int_equal(stat(path_of("created"), &facts), 0);
        assert_int_equal(facts.st_mode & 07777, 0604);
        assert_int_equal(unlink(path_of("created")), 0);
    }
}

static void writing_replaces_and_leaves_no_temporary_file(void **state)
{
    (void)state;
    const char *path = path_of("file");
    assert_int_equal(file_write(path, "a longer first text", 19, 0600), STATUS_OK);
    assert_int_equal(file_write(path, "second", 6, 0600), STATUS_OK);
    assert_content(path, "second");
    assert_int_equal(file_write(path, NULL, 0, 0600), STATUS_OK);
    assert_content(path, "");
    assert_int_equal(count_entries(), 1);
}

static void creating_refuses_a_name_that_is_taken(void **state)
{
    (void)state;
    const char *path = path_of("file");
    assert_int_equal(file_create(path, "first", 5, 0600), STATUS_OK);
    assert_int_equal(file_create(path, "second", 6, 0600), STATUS_CONFLICT);
    assert_content(path, "first");
    assert_int_equal(count_entries(), 1);
}

static void of_many_processes_that_create_exactly_one_wins(void **state)
{
    (void)state;
    enum { CHILDREN = 8 };
    const char *path = path_of("contested");
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            char content[5000];
            memset(content, 'A' + i, sizeof(content));
            close(gate[1]);
            char ignored;
            (void)!read(gate[0], &ignored, 1); /* returns when the parent opens the gate */
            enum status status = file_create(path, content, sizeof(content), 0600);
            _exit(status == STATUS_OK ? 0 : status == STATUS_CONFLICT ? 1 : 2);
        }
    }
    close(gate[0]);
    close(gate[1]);
    int winner = -1;
    for (int i = 0; i < CHILDREN; i++) {
        int result;
        assert_int_equal(waitpid(children[i], &result, 0), children[i]);
        assert_true(WIFEXITED(result));
        assert_in_range(WEXITSTATUS(result), 0, 1);
        if (WEXITSTATUS(result) == 0) {
            assert_int_equal(winner, -1);
            winner = i;
        }
    }
    assert_int_not_equal(winner, -1);
    struct buffer content;
    buffer_init(&content, 10000);
    assert_int_equal(file_read(path, &content), STATUS_OK);
    assert_int_equal(content.length, 5000);
    for (size_t i = 0; i < content.length; i++) {
        assert_int_equal(content.data[i], 'A' + winner);
    }
    buffer_release(&content);
    assert_int_equal(count_entries(), 1);
}

struct reader {
    const char *path;
    atomic_bool stop;
    size_t reads;
    size_t broken;
};

static void *read_again_and_again(void *argument)
{
    struct reader *reader = argument;
    while (!atomic_load(&reader->stop)) {
        struct buffer content;
        buffer_init(&content, 1 << 20);
        enum status status = file_read(reader->path, &content);
        bool whole = status == STATUS_OK && content.length == 50000;
        for (size_t i = 1; whole && i < content.length; i++) {
            whole = content.data[i] == content.data[0];
        }
        reader->broken += !whole;
        reader->reads++;
        buffer_release(&content);
    }
    return NULL;
}

static void readers_see_the_old_file_or_the_new_one(void **state)
{
    (void)state;
    static char content[50000];
    struct reader reader = {.path = path_of("file")};
    memset(content, 'a', sizeof(content));
    assert_int_equal(file_write(reader.path, content, sizeof(content), 0600), STATUS_OK);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_again_and_again, &reader), 0);
    for (int i = 0; i < 100; i++) {
        memset(content, 'a' + i % 26, sizeof(content));
        assert_int_equal(file_write(reader.path, content, sizeof(content), 0600), STATUS_OK);
    }
    atomic_store(&reader.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(reader.reads > 0);
    assert_int_equal(reader.broken, 0);
}

static void directories_are_made_with_their_parents(void **state)
{
    (void)state;
    assert_int_equal(file_make_directory(path_of("a/b//c/"), 0700), STATUS_OK);
    assert_int_equal(file_make_directory(path_of("a/b/c"), 0700), STATUS_OK);
    assert_int_equal(file_make_directory("/", 0700), STATUS_OK);
    assert_int_equal(file_write(path_of("a/b/c/file"), "x", 1, 0600), STATUS_OK);
    assert_content(path_of("a/b/c/file"), "x");
    struct stat facts;
    assert_int_equal(stat(path_of("a/b"), &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0700);
}

static void a_file_in_the_way_of_a_directory_is_a_conflict(void **state)
{
    (void)state;
    assert_int_equal(file_write(path_of("file"), "x", 1, 0600), STATUS_OK);
    assert_int_equal(file_make_directory(path_of("file"), 0700), STATUS_CONFLICT);
    assert_int_equal(file_make_directory(path_of("file/a"), 0700), STATUS_CONFLICT);
}

/* In a child: descriptors 0 to 2 are the test program's own. Its exit status is the first promise
 * that does not hold, or 0. */
static void hold_and_look(void)
{
    char byte = 'x';
    close(STDIN_FILENO);
    close(STDERR_FILENO);
    file_hold_standard_descriptors();
    int opened = open(path_of("file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (opened <= STDERR_FILENO) {
        _exit(1);
    }
    if (read(STDIN_FILENO, &byte, 1) != -1 || write(STDERR_FILENO, &byte, 1) != -1) {
        _exit(2);
    }
    /* what was there is left alone */
    _exit(fcntl(STDOUT_FILENO, F_GETFL) < 0 ? 3 : 0);
}

static void nothing_is_opened_in_the_place_of_a_lost_standard_descriptor(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        hold_and_look();
    }
    int exit_status;
    assert_int_equal(waitpid(child, &exit_status, 0), child);
    assert_true(WIFEXITED(exit_status));
    assert_int_equal(WEXITSTATUS(exit_status), 0);
}

static void no_descriptor_stays_open(void **state)
{
    (void)state;
    struct buffer content;
    buffer_init(&content, 3);
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(before >= 0);
    close(before);
    assert_int_equal(file_write(path_of("file"), "12345", 5, 0600), STATUS_OK);
    assert_int_equal(file_read(path_of("file"), &content), STATUS_TOO_LARGE);
    assert_int_equal(file_create(path_of("file"), "x", 1, 0600), STATUS_CONFLICT);
    assert_int_equal(file_read(directory, &content), STATUS_INTERNAL);
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(after);
    assert_int_equal(after, before);
    buffer_release(&content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_not_there_is_not_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_is_no_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_may_not_be_opened_is_denied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_that_are_too_long_are_invalid, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reading_appends_and_keeps_every_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_without_a_size_are_read_to_their_end, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_file_of_exactly_the_maximum_fits_and_one_byte_more_does_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reading_without_memory_is_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_mode_is_exact_whatever_the_umask, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writing_replaces_and_leaves_no_temporary_file, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(creating_refuses_a_name_that_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_many_processes_that_create_exactly_one_wins, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(readers_see_the_old_file_or_the_new_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(directories_are_made_with_their_parents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_in_the_way_of_a_directory_is_a_conflict, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            nothing_is_opened_in_the_place_of_a_lost_standard_descriptor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_descriptor_stays_open, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
