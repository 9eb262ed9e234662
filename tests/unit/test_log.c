/*
 * Tests of log: each line is one JSON object in one piece, whatever is put into it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/context.h"
#include "base/file.h"
#include "base/memory.h"
#include "log/log.h"
#include "json/json.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LINE_MAXIMUM 8192

static char path[] = "/tmp/quintet-test-log-XXXXXX";
static struct buffer content;
static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
    int descriptor = mkstemp(path);
    if (descriptor < 0) {
        return -1;
    }
    close(descriptor);
    buffer_init(&content, 16 << 20);
    arena_init(&arena, 16 << 20);
    context_leave(&(struct context){.correlation_id = ""});
    return log_open("quintet.test", LOG_INFO, path) == STATUS_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    buffer_release(&content);
    arena_destroy(&arena);
    return log_open("quintet", LOG_INFO, NULL) == STATUS_OK ? 0 : -1;
}

/* The whole log as it is now; the slice ends with the last newline. */
static struct slice read_log(void)
{
    buffer_reset(&content);
    assert_int_equal(file_read(path, &content), STATUS_OK);
    return (struct slice){buffer_text(&content), content.length};
}

/* The only line of the log, parsed. */
static const struct json_node *read_line(void)
{
    struct slice text = read_log();
    assert_true(text.length > 1);
    assert_true(text.length <= LINE_MAXIMUM);
    assert_ptr_equal(memchr(text.data, '\n', text.length), text.data + text.length - 1);
    const struct json_node *root = NULL;
    assert_int_equal(json_parse(&arena, text, &root), STATUS_OK);
    assert_int_equal(json_node_kind(root), JSON_OBJECT);
    return root;
}

static void empty_log(void)
{
    assert_int_equal(truncate(path, 0), 0);
}

static void a_line_has_the_fixed_members_first_and_then_its_fields(void **state)
{
    (void)state;
    int64_t before = clock_wall_milliseconds();
    context_enter(&(struct context){.correlation_id = "abc-1"});
    log_write(LOG_INFO, "request_completed", LOG_TEXT("method", "GET"),
              LOG_INTEGER("status_code", 200), LOG_DOUBLE("duration_ms", 1.25),
              LOG_BOOLEAN("cached", true), LOG_TEXT("user", NULL), LOG_TEXT("client", ""));
    int64_t after = clock_wall_milliseconds();
    const struct json_node *line = read_line();
    char earliest[CLOCK_TIMESTAMP_SIZE];
    char latest[CLOCK_TIMESTAMP_SIZE];
    clock_format_timestamp(before, earliest);
    clock_format_timestamp(after, latest);
    const char *timestamp = json_member_text(line, "timestamp", "");
    assert_true(strcmp(earliest, timestamp) <= 0 && strcmp(timestamp, latest) <= 0);
    const char *behind_timestamp = strchr(buffer_text(&content), ',');
    assert_string_equal(behind_timestamp,
                        ",\"level\":\"INFO\",\"logger\":\"quintet.test\","
                        "\"message\":\"request_completed\",\"correlation_id\":\"abc-1\","
                        "\"method\":\"GET\",\"status_code\":200,\"duration_ms\":1.25,"
                        "\"cached\":true,\"client\":\"\"}\n");
    assert_int_equal(strncmp(buffer_text(&content), "{\"timestamp\":\"", 14), 0);
}

static void a_line_without_fields_and_without_correlation_is_whole(void **state)
{
    (void)state;
    log_write(LOG_WARNING, "started");
    const struct json_node *line = read_line();
    assert_int_equal(json_count(line), 5);
    assert_string_equal(json_member_text(line, "level", ""), "WARNING");
    assert_non_null(json_member(line, "correlation_id"));
    assert_int_equal(json_node_kind(json_member(line, "correlation_id")), JSON_NULL);
}

static void nothing_that_is_logged_can_break_out_of_its_line(void **state)
{
    (void)state;
    static const char hostile[] = "a\"}\n{\"level\":\"CRITICAL\",\"x\":\"\r\\\x01\x1b[31m\xff\xc3";
    struct context context = {.correlation_id = ""};
    memcpy(context.correlation_id, hostile, sizeof hostile);
    context_enter(&context);
    log_write(LOG_INFO, hostile, LOG_TEXT("path", hostile), LOG_TEXT(hostile, "value"),
              LOG_INTEGER("after", 1));
    const struct json_node *line = read_line();
    static const char cleaned[] =
        "a\"}\n{\"level\":\"CRITICAL\",\"x\":\"\r\\\x01\x1b[31m\xef\xbf\xbd\xef\xbf\xbd";
    assert_string_equal(json_member_text(line, "message", ""), cleaned);
    assert_string_equal(json_member_text(line, "correlation_id", ""), cleaned);
    assert_string_equal(json_member_text(line, "path", ""), cleaned);
    assert_string_equal(json_member_text(line, cleaned, ""), "value");
    assert_string_equal(json_member_text(line, "level", ""), "INFO");
    assert_non_null(json_member(line, "after"));
}

static void numbers_that_json_does_not_have_are_null(void **state)
{
    (void)state;
    double zero = 0;
    log_write(LOG_INFO, "odd", LOG_DOUBLE("nan", zero / zero), LOG_DOUBLE("infinite", 1 / zero));
    const struct json_node *line = read_line();
    assert_int_equal(json_node_kind(json_member(line, "nan")), JSON_NULL);
    assert_int_equal(json_node_kind(json_member(line, "infinite")), JSON_NULL);
}

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state;
    for (int level = LOG_DEBUG; level <= LOG_CRITICAL; level++) {
        log_set_level((enum log_level)level);
        empty_log();
        for (int line = LOG_DEBUG; line <= LOG_CRITICAL; line++) {
            assert_int_equal(log_enabled((enum log_level)line), line >= level);
            log_write((enum log_level)line, "word");
        }
        struct slice text = read_log();
        int count = 0;
        for (size_t i = 0; i < text.length; i++) {
            count += text.data[i] == '\n';
        }
        assert_int_equal(count, LOG_CRITICAL - level + 1);
    }
}

static void levels_are_read_in_any_case(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum log_level level;
    } good[] = {
        {"DEBUG", LOG_DEBUG},       {"info", LOG_INFO},    {"Warning", LOG_WARNING},
        {"warn", LOG_WARNING},      {"WARN", LOG_WARNING}, {"eRRor", LOG_ERROR},
        {"critical", LOG_CRITICAL},
    };
    static const char *const bad[] = {"", "warnings", "inf", "INFO ", "1", "trace", "fatal"};
    enum log_level level;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(log_parse_level(good[i].text, &level), STATUS_OK);
        assert_int_equal(level, good[i].level);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(log_parse_level(bad[i], &level), STATUS_INVALID);
    }
    assert_int_equal(log_parse_level(NULL, &level), STATUS_INVALID);
}

static void a_line_that_is_too_long_loses_its_last_fields_and_says_so(void **state)
{
    (void)state;
    static char text[9000];
    log_write(LOG_INFO, "long", LOG_INTEGER("first", 1), LOG_TEXT("long", ""), LOG_INTEGER("n", 2));
    size_t length_without_text = read_log().length;
    /* Around the length where the last field just fits, and where the one before it does. */
    for (size_t length = 7950; length < 8150; length++) {
        memset(text, 'x', length);
        text[length] = '\0';
        empty_log();
        log_write(LOG_INFO, "long", LOG_INTEGER("first", 1), LOG_TEXT("long", text),
                  LOG_INTEGER("n", 2));
        const struct json_node *line = read_line();
        bool truncated = false;
        (void)json_get_boolean(json_member(line, "truncated"), &truncated);
        assert_int_equal(truncated, length_without_text + length > LINE_MAXIMUM);
        assert_int_equal(json_member(line, "n") == NULL, truncated);
        assert_non_null(json_member(line, "first"));
        /* A field is there as a whole or not at all. */
        if (json_member(line, "long") != NULL) {
            assert_int_equal(strlen(json_member_text(line, "long", "")), length);
        } else {
            assert_true(truncated);
        }
        arena_reset(&arena);
    }
}

static void a_message_of_any_length_leaves_a_valid_line(void **state)
{
    (void)state;
    static char text[20000];
    /* Control characters take six bytes each. */
    memset(text, 1, sizeof(text) - 1);
    struct context context = {.correlation_id = ""};
    memset(context.correlation_id, 1, CONTEXT_CORRELATION_MAXIMUM);
    context_enter(&context);
    assert_int_equal(log_open(text, LOG_INFO, path), STATUS_OK);
    log_write(LOG_ERROR, text, LOG_INTEGER("field", 1));
    const struct json_node *line = read_line();
    bool truncated = false;
    assert_true(json_get_boolean(json_member(line, "truncated"), &truncated));
    assert_true(truncated);
    assert_int_equal(strlen(json_member_text(line, "message", "")), 512);
    assert_int_equal(strlen(json_member_text(line, "correlation_id", "")), 128);
}

static void a_line_needs_no_memory(void **state)
{
    (void)state;
    memory_fail_after(1);
    log_write(LOG_INFO, "no_memory", LOG_TEXT("text", "a"), LOG_DOUBLE("number", 0.1));
    unsigned long failures = memory_failures_seen();
    memory_fail_after(0);
    assert_int_equal(failures, 0);
    assert_string_equal(json_member_text(read_line(), "message", ""), "no_memory");
}

static void logging_does_not_disturb_errno(void **state)
{
    (void)state;
    assert_int_equal(log_open("quintet.test", LOG_INFO, "/dev/full"), STATUS_OK);
    errno = EDOM;
    log_write(LOG_INFO, "lost");
    assert_int_equal(errno, EDOM);
}

static void a_file_that_cannot_be_opened_is_told_and_changes_nothing(void **state)
{
    (void)state;
    char missing[sizeof path + 16];
    snprintf(missing, sizeof missing, "%s.unmade/file", path);
    assert_int_equal(log_open("x", LOG_DEBUG, missing), STATUS_NOT_FOUND);
    assert_int_equal(log_open("x", LOG_DEBUG, "/tmp"), STATUS_DENIED);
    assert_false(log_enabled(LOG_DEBUG));
    log_write(LOG_INFO, "still_here");
    assert_string_equal(json_member_text(read_line(), "logger", ""), "quintet.test");
}

static void lines_are_appended_to_what_is_there(void **state)
{
    (void)state;
    log_write(LOG_INFO, "first");
    size_t before = read_log().length;
    assert_int_equal(log_open("quintet.test", LOG_INFO, path), STATUS_OK);
    log_write(LOG_INFO, "second");
    assert_true(read_log().length > before);
    assert_non_null(strstr(buffer_text(&content), "first"));
    assert_non_null(strstr(buffer_text(&content), "second"));
}

static void reopening_follows_a_rotation(void **state)
{
    (void)state;
    char rotated[64];
    snprintf(rotated, sizeof(rotated), "%s.1", path);
    log_write(LOG_INFO, "before");
    assert_int_equal(rename(path, rotated), 0);
    log_write(LOG_INFO, "between");
    log_reopen();
    log_write(LOG_INFO, "after");
    assert_string_equal(json_member_text(read_line(), "message", ""), "after");
    buffer_reset(&content);
    assert_int_equal(file_read(rotated, &content), STATUS_OK);
    assert_non_null(strstr(buffer_text(&content), "between"));
    assert_int_equal(unlink(rotated), 0);
}

static void reopening_keeps_the_old_file_when_the_new_one_cannot_be_opened(void **state)
{
    (void)state;
    char rotated[64];
    snprintf(rotated, sizeof(rotated), "%s.1", path);
    assert_int_equal(rename(path, rotated), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    log_reopen();
    log_write(LOG_INFO, "kept");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(rotated, path), 0);
    struct slice text = read_log();
    assert_non_null(strstr(text.data, "log_reopen_failed"));
    assert_non_null(strstr(text.data, "\"message\":\"kept\""));
}

static void the_log_is_not_inherited_by_other_programs(void **state)
{
    (void)state;
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    /* The log's descriptor is one of those below the next free one. */
    struct stat log_facts;
    assert_int_equal(stat(path, &log_facts), 0);
    log_reopen();
    int found = 0;
    for (int descriptor = 3; descriptor < next + 8; descriptor++) {
        struct stat facts;
        if (fstat(descriptor, &facts) == 0 && facts.st_ino == log_facts.st_ino &&
            facts.st_dev == log_facts.st_dev) {
            found++;
            assert_int_equal(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        }
    }
    assert_int_equal(found, 1);
}

#define THREADS 4
#define LINES   500

static void *write_lines(void *number)
{
    char filler[3000];
    memset(filler, 'f', sizeof(filler) - 1);
    filler[sizeof(filler) - 1] = '\0';
    for (int i = 0; i < LINES; i++) {
        log_write(LOG_INFO, "line", LOG_TEXT("thread", number), LOG_INTEGER("number", i),
                  LOG_TEXT("filler", filler));
    }
    return NULL;
}

static void lines_of_threads_never_mix_also_while_the_log_is_reopened(void **state)
{
    (void)state;
    static char names[THREADS][2] = {"0", "1", "2", "3"};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
    }
    for (int i = 0; i < 50; i++) {
        log_reopen();
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    struct slice rest = read_log();
    struct slice line;
    int64_t next[THREADS] = {0};
    while (slice_split(&rest, '\n', &line) && line.length > 0) {
        const struct json_node *root = NULL;
        assert_int_equal(json_parse(&arena, line, &root), STATUS_OK);
        int thread = json_member_text(root, "thread", "x")[0] - '0';
        assert_in_range(thread, 0, THREADS - 1);
        int64_t number = -1;
        assert_true(json_get_integer(json_member(root, "number"), &number));
        assert_int_equal(number, next[thread]++);
        arena_reset(&arena);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(next[i], LINES);
    }
}

static void full_pipe_holds_up_nobody_and_what_was_lost_is_told(void **state)
{
    (void)state;
    enum { ATTEMPTS = 5000 }; /* far more than a pipe holds */
    static char taken[4 << 20];
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    assert_int_equal(log_open("quintet.test", LOG_INFO, path), STATUS_OK);
    for (int i = 0; i < ATTEMPTS; i++) {
        log_write(LOG_INFO, "word", LOG_INTEGER("number", i));
    }
    ssize_t length = read(reader, taken, sizeof(taken) - 1);
    assert_true(length > 0);
    taken[length] = '\0';
    int written = 0;
    for (const char *at = taken; (at = strchr(at, '\n')) != NULL; at++) {
        written++;
    }
    assert_int_equal(taken[length - 1], '\n'); /* none in part */
    assert_in_range(written, 1, ATTEMPTS - 1);
    log_write(LOG_INFO, "there is room", LOG_INTEGER("number", ATTEMPTS));
    length = read(reader, taken, sizeof(taken) - 1);
    assert_true(length > 0);
    taken[length] = '\0';
    char told[40];
    snprintf(told, sizeof(told), "\"lines\":%d}", ATTEMPTS - written);
    assert_non_null(strstr(taken, "log_lines_lost"));
    assert_non_null(strstr(taken, told));
    close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_the_fixed_members_first_and_then_its_fields,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_without_fields_and_without_correlation_is_whole,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_that_is_logged_can_break_out_of_its_line, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(numbers_that_json_does_not_have_are_null, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(lines_below_the_level_are_not_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(levels_are_read_in_any_case, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_that_is_too_long_loses_its_last_fields_and_says_so,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_of_any_length_leaves_a_valid_line, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_line_needs_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(logging_does_not_disturb_errno, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_opened_is_told_and_changes_nothing,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_are_appended_to_what_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_pipe_holds_up_nobody_and_what_was_lost_is_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(reopening_follows_a_rotation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            reopening_keeps_the_old_file_when_the_new_one_cannot_be_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_log_is_not_inherited_by_other_programs, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(lines_of_threads_never_mix_also_while_the_log_is_reopened,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
