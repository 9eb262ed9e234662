/*
 * One request on environment and standard input, whatever its output is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "transport/body.h"
#include "transport/cgi.h"
#include "transport/exchange_setup.h"
#include "transport/pump_private.h"

struct echo {
    size_t limit;
    bool refuses;
    struct buffer seen;
    size_t answer_size; /* of an answer that is no echo */
    uint64_t started;
    int descriptor;
    bool has_gone;
};

static void plan_echo(struct exchange *exchange, void *context)
{
    exchange->body_maximum = ((struct echo *)context)->limit;
}

static void refuse_echo(struct exchange *exchange, int status, void *context)
{
    (void)context;
    buffer_reset(&exchange->output);
    buffer_append_format(&exchange->output, "Status: %d Refused\r\n\r\n", status);
    exchange_complete(exchange);
}

static bool admit_echo(struct exchange *exchange, void *context)
{
    if (((struct echo *)context)->refuses) {
        refuse_echo(exchange, 403, context);
        return false;
    }
    return true;
}

static void echo_body(struct exchange *exchange, void *context)
{
    struct echo *echo = context;
    echo->started = exchange->started_nanoseconds;
    echo->descriptor = exchange->operations->descriptor(exchange);
    echo->has_gone = exchange->operations->peer_has_gone(exchange);
    if (echo->answer_size > 0) {
        char *bytes = buffer_reserve(&exchange->output, echo->answer_size);
        memset(bytes, 'x', echo->answer_size);
        buffer_commit(&exchange->output, echo->answer_size);
        exchange_complete(exchange);
        return;
    }
    buffer_append_format(&echo->seen, "%zu %d %d", exchange->body.length, exchange->body_too_large,
                         exchange->body_differs);
    if (exchange_write(exchange, slice_of("\r\n\r\n")) != STATUS_OK ||
        exchange_write(exchange, exchange->body) != STATUS_OK) {
        refuse_echo(exchange, 503, context);
    }
    exchange_complete(exchange);
}

/* Serves one request whose input is `input`, in pipes. */
static void serve(struct echo *echo, const char *const *environment, const char *input,
                  struct buffer *answer)
{
    int in[2];
    int out[2];
    const struct transport_options options = {
        .program = "test",
        .request_timeout_seconds = 1,
        .write_timeout_seconds = 1,
        .handlers = {plan_echo, admit_echo, echo_body, refuse_echo, NULL, echo}};
    struct pump *pump = NULL;
    buffer_init(&echo->seen, 1000);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(write(in[1], input, strlen(input)), strlen(input));
    close(in[1]);
    int result = cgi_serve(&options, environment, in[0], out[1], &pump);
    close(out[1]);
    assert_int_equal(result, 0);
    char *room = buffer_reserve(answer, 65536);
    assert_non_null(room);
    ssize_t length = read(out[0], room, 65536);
    assert_true(length >= 0);
    buffer_commit(answer, (size_t)length);
    close(in[0]);
    close(out[0]);
}

static void expect_cgi(const char *const *environment, size_t limit, const char *input,
                       const char *seen)
{
    struct echo echo = {.limit = limit};
    struct buffer answer;
    buffer_init(&answer, 1 << 20);
    serve(&echo, environment, input, &answer);
    assert_string_equal(buffer_text(&echo.seen), seen);
    buffer_release(&echo.seen);
    buffer_release(&answer);
}

static void cgi_body_ends_where_rfc_3875_says(void **state)
{
    (void)state;
    const char *const declared[] = {"REQUEST_METHOD=POST", "CONTENT_LENGTH=3", NULL};
    expect_cgi(declared, 100, "abcdef", "3 0 0");
    expect_cgi(declared, 100, "ab", "2 0 1");
    const char *const chunked[] = {"REQUEST_METHOD=POST", NULL};
    expect_cgi(chunked, 100, "abcdef", "6 0 0");
    const char *const get[] = {"REQUEST_METHOD=GET", NULL};
    expect_cgi(get, 100, "not a body", "0 0 0");
    const char *const get_with_body[] = {"REQUEST_METHOD=GET", "CONTENT_LENGTH=4", NULL};
    expect_cgi(get_with_body, 100, "body", "4 0 0");
}

static void cgi_refuses_before_it_reads_the_body_and_lets_the_rest_in(void **state)
{
    (void)state;
    const char *const post[] = {"REQUEST_METHOD=POST", "CONTENT_LENGTH=6", NULL};
    struct echo echo = {.limit = 100, .refuses = true};
    struct buffer answer;
    buffer_init(&answer, 1 << 20);
    serve(&echo, post, "abcdef", &answer);
    assert_string_equal(buffer_text(&answer), "Status: 403 Refused\r\n\r\n");
    assert_int_equal(echo.seen.length, 0);
    buffer_release(&echo.seen);
    buffer_release(&answer);
}

static void cgi_body_beyond_the_limit_is_read_and_dropped(void **state)
{
    (void)state;
    const char *const post[] = {"REQUEST_METHOD=POST", NULL};
    expect_cgi(post, 6, "abcdef", "6 0 0");
    expect_cgi(post, 5, "abcdef", "0 1 0");
    const char *const declared[] = {"REQUEST_METHOD=POST", "CONTENT_LENGTH=6", NULL};
    expect_cgi(declared, 5, "abcdef", "0 1 0");
}

static void cgi_body_that_does_not_come_is_408(void **state)
{
    (void)state;
    int in[2];
    int out[2];
    struct echo echo = {.limit = 100};
    const char *const environment[] = {"REQUEST_METHOD=POST", "CONTENT_LENGTH=3", NULL};
    const struct transport_options options = {
        .program = "test",
        .request_timeout_seconds = 1,
        .write_timeout_seconds = 1,
        .handlers = {plan_echo, admit_echo, echo_body, refuse_echo, NULL, &echo}};
    struct pump *pump = NULL;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(cgi_serve(&options, environment, in[0], out[1], &pump), 0);
    char answer[200] = "";
    assert_true(read(out[0], answer, sizeof(answer) - 1) > 0);
    assert_ptr_equal(strstr(answer, "Status: 408"), answer);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

/* An answer without a head, when there is no memory for one, makes the web server answer 5xx. */
static void cgi_without_memory_is_503_or_an_answer(void **state)
{
    (void)state;
    const char *const environment[] = {"REQUEST_METHOD=POST", "CONTENT_LENGTH=6", NULL};
    void (*const modes[])(unsigned long n) = {memory_fail_after, memory_fail_only};
    for (size_t i = 0; i < 2; i++) {
        unsigned long failures = 1;
        for (unsigned long n = 1; failures > 0; n++) {
            struct echo echo = {.limit = 100};
            struct buffer answer;
            buffer_init(&answer, 1 << 20);
            char *room = buffer_reserve(&answer, 65536);
            assert_non_null(room);
            modes[i](n);
            serve(&echo, environment, "abcdef", &answer);
            failures = memory_failures_seen();
            memory_fail_after(0);
            const char *text = buffer_text(&answer);
            bool is_whole = strcmp(text, "\r\n\r\nabcdef") == 0;
            bool is_refusal = strncmp(text, "Status: 503 ", 12) == 0;
            bool is_nothing = answer.length == 0 && modes[i] == memory_fail_after;
            assert_true(is_whole || (failures > 0 && (is_refusal || is_nothing)));
            buffer_release(&echo.seen);
            buffer_release(&answer);
        }
    }
}

/* --- Input and output -------------------------------------------------------------------------- */

static char directory[] = "/tmp";

/* Serves one request between these descriptors; how long that took, in milliseconds. */
static uint64_t serve_between(struct echo *echo, const char *const *environment, int input,
                              int output, const char *body_directory)
{
    const struct transport_options options = {
        .program = "test",
        .request_timeout_seconds = 1,
        .write_timeout_seconds = 1,
        .body_directory = body_directory,
        .handlers = {plan_echo, admit_echo, echo_body, refuse_echo, NULL, echo}};
    struct pump *pump = NULL;
    uint64_t began = clock_monotonic_nanoseconds();
    buffer_init(&echo->seen, 1000);
    assert_int_equal(cgi_serve(&options, environment, input, output, &pump), 0);
    return (clock_monotonic_nanoseconds() - began) / 1000000;
}

static int make_file(size_t size)
{
    int file = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, (off_t)size), 0);
    return file;
}

static const char *const get[] = {"REQUEST_METHOD=GET", NULL};

static void request_has_a_clock_and_goes_to_a_file(void **state)
{
    (void)state;
    struct echo echo = {.answer_size = 1 << 20};
    int input = make_file(0);
    int output = make_file(0);
    struct stat written;
    uint64_t began = clock_monotonic_nanoseconds();
    serve_between(&echo, get, input, output, NULL);
    assert_in_range(echo.started, began, clock_monotonic_nanoseconds());
    assert_int_equal(fstat(output, &written), 0);
    assert_int_equal(written.st_size, 1 << 20);
    assert_int_equal(echo.descriptor, -1); /* there is nothing to wait for */
    assert_false(echo.has_gone);
    close(input);
    close(output);
}

static void large_body_goes_to_a_file_or_nowhere(void **state)
{
    (void)state;
    static const size_t sizes[] = {BODY_MEMORY_MAXIMUM, BODY_MEMORY_MAXIMUM + 1};
    for (int i = 0; i < 4; i++) {
        char length[40];
        char seen[40];
        size_t size = sizes[i % 2];
        const char *const post[] = {"REQUEST_METHOD=POST", length, NULL};
        struct echo echo = {.limit = (size_t)4 << 20};
        int input = make_file(size);
        int output = make_file(0);
        char answer[40] = "";
        snprintf(length, sizeof(length), "CONTENT_LENGTH=%zu", size);
        snprintf(seen, sizeof(seen), "%zu 0 0", size);
        serve_between(&echo, post, input, output, i < 2 ? directory : NULL);
        assert_true(pread(output, answer, sizeof(answer) - 1, 0) > 0);
        if (i == 3) {
            assert_string_equal(answer, "Status: 503 Refused\r\n\r\n");
        } else {
            assert_string_equal(buffer_text(&echo.seen), seen);
        }
        buffer_release(&echo.seen);
        close(input);
        close(output);
    }
}

/* Reads to the end, a little at a time; exits with 0 when that was as much as expected. */
static pid_t start_reader(int descriptor, int other, size_t expected)
{
    pid_t pid = fork();
    if (pid == 0) {
        char bytes[5000];
        size_t got = 0;
        ssize_t length;
        close(other);
        while ((length = read(descriptor, bytes, sizeof(bytes))) > 0) {
            got += (size_t)length;
        }
        _exit(got == expected ? 0 : 1);
    }
    assert_true(pid > 0);
    return pid;
}

/* Writes so much and exits with 0 when all of it was taken. */
static pid_t start_writer(int descriptor, int other, size_t size)
{
    pid_t pid = fork();
    if (pid == 0) {
        static char bytes[4096];
        signal(SIGPIPE, SIG_DFL);
        close(other);
        for (; size > 0; size -= sizeof(bytes)) {
            if (write(descriptor, bytes, sizeof(bytes)) != sizeof(bytes)) {
                _exit(1);
            }
        }
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static int end_child(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void answer_larger_than_a_pipe_or_socket_arrives_whole(void **state)
{
    (void)state;
    const size_t size = (size_t)3 << 20;
    for (int kind = 0; kind < 2; kind++) {
        int ends[2];
        struct echo echo = {.answer_size = size};
        int input = make_file(0);
        assert_int_equal(kind == 0 ? pipe2(ends, O_CLOEXEC)
                                   : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
                         0);
        pid_t reader = start_reader(ends[0], ends[1], size);
        serve_between(&echo, get, input, ends[1], NULL);
        assert_int_equal(echo.descriptor, ends[1]);
        assert_false(echo.has_gone);
        close(ends[1]);
        assert_int_equal(end_child(reader), 0);
        close(ends[0]);
        close(input);
    }
}

static void reader_that_takes_nothing_is_given_up_in_its_time(void **state)
{
    (void)state;
    int ends[2];
    struct echo echo = {.answer_size = 1 << 20};
    int input = make_file(0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_in_range(serve_between(&echo, get, input, ends[1], NULL), 990, 10000);
    close(ends[0]);
    /* And one that has gone, at once. */
    signal(SIGPIPE, SIG_IGN);
    assert_in_range(serve_between(&echo, get, input, ends[1], NULL), 0, 900);
    assert_true(echo.has_gone);
    close(ends[1]);
    close(input);
}

static void body_that_nobody_wants_is_read_so_that_its_writer_lives(void **state)
{
    (void)state;
    const size_t size = (size_t)1 << 20;
    static const char *const declared[] = {"REQUEST_METHOD=POST", "CONTENT_LENGTH=1048576", NULL};
    static const char *const undeclared[] = {"REQUEST_METHOD=POST", NULL};
    for (int i = 0; i < 3; i++) {
        int ends[2];
        struct echo echo = {.limit = 100, .refuses = i < 2};
        int output = make_file(0);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t writer = start_writer(ends[1], ends[0], size);
        close(ends[1]);
        serve_between(&echo, i == 0 ? declared : undeclared, ends[0], output, NULL);
        close(ends[0]);
        assert_int_equal(end_child(writer), 0);
        buffer_release(&echo.seen);
        close(output);
    }
}

static void refusal_of_a_request_that_has_no_body_waits_for_none(void **state)
{
    (void)state;
    static const char *const methods[] = {"REQUEST_METHOD=GET", "REQUEST_METHOD=HEAD",
                                          "REQUEST_METHOD=OPTIONS"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        const char *const environment[] = {methods[i], NULL};
        int ends[2]; /* nothing comes, and it does not end */
        struct echo echo = {.refuses = true};
        int output = make_file(0);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        assert_in_range(serve_between(&echo, environment, ends[0], output, NULL), 0, 900);
        close(ends[0]);
        close(ends[1]);
        close(output);
    }
}

static void without_an_output_there_is_nothing_to_serve(void **state)
{
    (void)state;
    const struct transport_options options = {.program = "test"};
    struct pump *pump = NULL;
    assert_int_equal(cgi_serve(&options, get, 0, -1, &pump), 1);
}

int main(void)
{
    alarm(60); /* a write that waits for ever */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cgi_body_ends_where_rfc_3875_says),
        cmocka_unit_test(cgi_refuses_before_it_reads_the_body_and_lets_the_rest_in),
        cmocka_unit_test(cgi_body_beyond_the_limit_is_read_and_dropped),
        cmocka_unit_test(cgi_body_that_does_not_come_is_408),
        cmocka_unit_test(cgi_without_memory_is_503_or_an_answer),
        cmocka_unit_test(request_has_a_clock_and_goes_to_a_file),
        cmocka_unit_test(large_body_goes_to_a_file_or_nowhere),
        cmocka_unit_test(answer_larger_than_a_pipe_or_socket_arrives_whole),
        cmocka_unit_test(reader_that_takes_nothing_is_given_up_in_its_time),
        cmocka_unit_test(body_that_nobody_wants_is_read_so_that_its_writer_lives),
        cmocka_unit_test(refusal_of_a_request_that_has_no_body_waits_for_none),
        cmocka_unit_test(without_an_output_there_is_nothing_to_serve),
    };
    return cmocka_run_group_tests_name("cgi", tests, NULL, NULL);
}
