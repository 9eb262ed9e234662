/*
 * tests/unit/pipeline_help: a program with routes of its own, opened in a temporary directory, and
 * requests through its whole pipeline without a web server.
 *
 * Every answer is taken apart and its form checked: one Status line, header lines without stray
 * control characters, a head that fits the buffers of web servers.
 */
#ifndef TESTS_PIPELINE_HELP_H
#define TESTS_PIPELINE_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "database_help.h"
#include "http/app.h"
#include "http/fields.h"
#include "http/request.h"
#include "log/log.h"
#include "transport/loopback.h"
#include "json/json.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Of API_KEYS in every fixture. */
#define PLAIN_KEY   "plain-key-of-the-tests"
#define PREMIUM_KEY "premium-key-of-the-tests"

#define HEAD_LENGTH_MAXIMUM 4096
#define PARAMETER_MAXIMUM   16

struct pipeline {
    char directory[64];
    struct app *app;
    struct arena arena;   /* of the answers' JSON */
    struct buffer answer; /* as CGI text */
    size_t arena_room;    /* of a request, in bytes; 0: as in earnest */
    int status;
    struct slice head; /* without the empty line; within `answer` */
    struct slice body;
};

/* One request; absent members are not sent. `cgi` are CGI variables as "HTTP_ORIGIN=http://a". */
struct call {
    const char *method; /* GET */
    const char *path;
    const char *query;
    const char *json; /* body, with its content type and length */
    const char *key;  /* X-API-Key */
    const char *cgi[PARAMETER_MAXIMUM];
};

#define CALL(...) (&(const struct call){__VA_ARGS__})

/* --- The program ---------------------------------------------------------------------------- */

/* A path in the fixture's directory; valid until the next call. */
static inline const char *pipeline_path(const struct pipeline *pipeline, const char *name)
{
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", pipeline->directory, name);
    return path;
}

/* Opens the program anew with these settings (NULL-terminated) beside those of every fixture. */
static inline void pipeline_open(struct pipeline *pipeline, const struct app_options *options,
                                 const char *const *settings)
{
    char own[6][192];
    const char *environment[32];
    size_t count = 0;
    app_close(pipeline->app);
    pipeline->app = NULL;
    snprintf(own[0], sizeof own[0], "STATE_DIR=%s", pipeline->directory);
    snprintf(own[1], sizeof own[1], "LOG_FILE=%s/log", pipeline->directory);
    snprintf(own[2], sizeof own[2], "API_KEYS=%s,%s", PLAIN_KEY, PREMIUM_KEY);
    snprintf(own[3], sizeof own[3], "API_KEY_TIERS={\"premium-*\":\"premium\"}");
    snprintf(own[4], sizeof own[4], "ENVIRONMENT=development");
    for (size_t i = 0; i < 5; i++) {
        environment[count++] = own[i];
    }
    for (; settings != NULL && *settings != NULL; settings++) {
        assert_true(count + 1 < COUNT(environment));
        environment[count++] = *settings;
    }
    environment[count] = NULL;
    struct buffer problem;
    buffer_init(&problem, 4096);
    struct config *config = NULL;
    if (config_load_from(&config, environment, NULL, &problem) != STATUS_OK ||
        config_settle(config, &problem) != STATUS_OK ||
        app_open(&pipeline->app, options, config, &problem) != STATUS_OK) {
        fail_msg("does not open: %s", buffer_text(&problem));
    }
    buffer_release(&problem);
}

#define SETTINGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_SETTINGS   ((const char *const[]){NULL})

static inline int pipeline_set_up_settings(void **state, const struct app_options *options,
                                           const char *const *settings)
{
    struct pipeline *pipeline = calloc(1, sizeof *pipeline);
    assert_non_null(pipeline);
    snprintf(pipeline->directory, sizeof pipeline->directory, "/tmp/quintet-test-XXXXXX");
    assert_non_null(mkdtemp(pipeline->directory));
    arena_init(&pipeline->arena, 64u << 20);
    buffer_init(&pipeline->answer, 8u << 20);
    *state = pipeline;
    pipeline_open(pipeline, options, settings);
    return 0;
}

static inline int pipeline_set_up_with(void **state, const struct app_options *options)
{
    return pipeline_set_up_settings(state, options, NO_SETTINGS);
}

static inline int pipeline_tear_down(void **state)
{
    struct pipeline *pipeline = *state;
    if (pipeline == NULL) {
        return 0; /* the setup failed */
    }
    app_close(pipeline->app);
    /* The log must not stay in a directory that is gone. */
    int failed = log_open("test", LOG_CRITICAL, NULL) != STATUS_OK;
    nftw(pipeline->directory, database_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    arena_destroy(&pipeline->arena);
    buffer_release(&pipeline->answer);
    free(pipeline);
    return failed;
}

/* --- Requests ------------------------------------------------------------------------------- */

/* The program's handlers, with little memory in the request's arena. */
struct narrow_handlers {
    struct exchange_handlers inner;
    size_t room;
};

static inline void narrow_plan(struct exchange *exchange, void *context)
{
    const struct narrow_handlers *handlers = context;
    exchange->arena.maximum = exchange->arena.used + handlers->room;
    handlers->inner.plan(exchange, handlers->inner.context);
}

static inline bool narrow_admit(struct exchange *exchange, void *context)
{
    const struct narrow_handlers *handlers = context;
    return handlers->inner.admit(exchange, handlers->inner.context);
}

static inline void narrow_handle(struct exchange *exchange, void *context)
{
    const struct narrow_handlers *handlers = context;
    handlers->inner.handle(exchange, handlers->inner.context);
}

/* Runs the request; what came back stands in pipeline->answer, unread. */
static inline enum status pipeline_run(struct pipeline *pipeline, const struct call *call)
{
    char texts[8][512];
    char path[8192];
    const char *parameters[8 + PARAMETER_MAXIMUM];
    size_t count = 0;
    snprintf(path, sizeof path, "PATH_INFO=%s", call->path);
    parameters[count++] = path;
    snprintf(texts[0], sizeof texts[0], "REQUEST_METHOD=%s", call->method ? call->method : "GET");
    parameters[count++] = texts[0];
    if (call->query != NULL) {
        snprintf(texts[1], sizeof texts[1], "QUERY_STRING=%s", call->query);
        parameters[count++] = texts[1];
    }
    if (call->key != NULL) {
        snprintf(texts[2], sizeof texts[2], "HTTP_X_API_KEY=%s", call->key);
        parameters[count++] = texts[2];
    }
    if (call->json != NULL) {
        snprintf(texts[3], sizeof texts[3], "CONTENT_LENGTH=%zu", strlen(call->json));
        parameters[count++] = texts[3];
        parameters[count++] = "CONTENT_TYPE=application/json";
    }
    size_t own = count;
    for (size_t i = 0; i < PARAMETER_MAXIMUM && call->cgi[i] != NULL; i++) {
        parameters[count++] = call->cgi[i];
    }
    bool has_address = false;
    for (size_t i = own; i < count; i++) {
        has_address = has_address || strncmp(parameters[i], "REMOTE_ADDR=", 12) == 0;
    }
    if (!has_address) {
        parameters[count++] = "REMOTE_ADDR=192.0.2.7";
    }
    parameters[count] = NULL;
    struct exchange_handlers handlers = app_handlers(pipeline->app);
    struct narrow_handlers narrow = {handlers, pipeline->arena_room};
    if (narrow.room > 0) {
        handlers = (struct exchange_handlers){.plan = narrow_plan,
                                              .admit = narrow_admit,
                                              .handle = narrow_handle,
                                              .context = &narrow};
    }
    buffer_reset(&pipeline->answer);
    return loopback_run(&handlers, parameters, slice_of(call->json), &pipeline->answer);
}

/* NULL when the answer is well-formed; sets status, head and body. */
static inline const char *pipeline_read_answer(struct pipeline *pipeline)
{
    const char *text = buffer_text(&pipeline->answer);
    const char *end = strstr(text, "\r\n\r\n");
    int64_t status = 0;
    if (strncmp(text, "Status: ", 8) != 0 || end == NULL ||
        text_parse_integer((struct slice){text + 8, strcspn(text + 8, " \r")}, &status) !=
            STATUS_OK) {
        return "no head";
    }
    pipeline->status = (int)status;
    pipeline->head = (struct slice){text, (size_t)(end - text) + 2};
    pipeline->body = (struct slice){end + 4, pipeline->answer.length - (size_t)(end + 4 - text)};
    if (pipeline->head.length + 2 >= HEAD_LENGTH_MAXIMUM) {
        return "the head is too long";
    }
    for (const char *line = text; line < end + 2;) {
        const char *line_end = strstr(line, "\r\n");
        size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-");
        if (name == 0 || line[name] != ':' || line[name + 1] != ' ') {
            return "a line without a header's name";
        }
        for (const char *byte = line; byte < line_end; byte++) {
            if ((unsigned char)*byte < ' ' || *byte == 0x7f) {
                return "a control character in a header";
            }
        }
        if (line != text && strncasecmp(line, "Status:", 7) == 0) {
            return "two status lines";
        }
        line = line_end + 2;
    }
    return NULL;
}

static inline int send_call(struct pipeline *pipeline, const struct call *call)
{
    assert_int_equal(pipeline_run(pipeline, call), STATUS_OK);
    const char *problem = pipeline_read_answer(pipeline);
    if (problem != NULL) {
        fail_msg("%s: %s", problem, buffer_text(&pipeline->answer));
    }
    return pipeline->status;
}

/* --- Answers -------------------------------------------------------------------------------- */

/* The value of the n-th header line of that name (0 = first), or NULL; in the fixture's arena. */
static inline const char *answer_header_at(struct pipeline *pipeline, const char *name, size_t n)
{
    size_t length = strlen(name);
    const char *end = pipeline->head.data + pipeline->head.length;
    for (const char *line = pipeline->head.data; line < end; line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, name, length) == 0 && line[length] == ':' && n-- == 0) {
            const char *value = line + length + 2;
            return arena_copy(&pipeline->arena, value, (size_t)(strstr(value, "\r\n") - value));
        }
    }
    return NULL;
}

static inline const char *answer_header(struct pipeline *pipeline, const char *name)
{
    assert_null(answer_header_at(pipeline, name, 1));
    return answer_header_at(pipeline, name, 0);
}

static inline size_t answer_header_count(const struct pipeline *pipeline)
{
    size_t count = 0;
    for (size_t i = 0; i < pipeline->head.length; i++) {
        count += pipeline->head.data[i] == '\n';
    }
    return count;
}

static inline void assert_header(struct pipeline *pipeline, const char *name, const char *expected)
{
    const char *value = answer_header(pipeline, name);
    if (value == NULL ? expected != NULL : expected == NULL || strcmp(value, expected) != 0) {
        fail_msg("%s is \"%s\", not \"%s\"", name, value ? value : "absent",
                 expected ? expected : "absent");
    }
}

/* The body as JSON; its length and type are what the head says. */
static inline const struct json_node *answer_json(struct pipeline *pipeline)
{
    const struct json_node *root = NULL;
    char length[32];
    snprintf(length, sizeof length, "%zu", pipeline->body.length);
    assert_header(pipeline, "Content-Length", length);
    assert_int_equal(json_parse(&pipeline->arena, pipeline->body, &root), STATUS_OK);
    return root;
}

static inline const char *answer_text(struct pipeline *pipeline, const char *member)
{
    return json_member_text(answer_json(pipeline), member, NULL);
}

static inline void assert_member(struct pipeline *pipeline, const char *member,
                                 const char *expected)
{
    const char *text = answer_text(pipeline, member);
    if (text == NULL || strcmp(text, expected) != 0) {
        fail_msg("%s is \"%s\", not \"%s\"", member, text ? text : "absent", expected);
    }
}

/* The request is answered with this error of the catalogue, in the suite's own dialect. */
static inline void assert_refused(struct pipeline *pipeline, const struct call *call, int status,
                                  const char *word)
{
    if (send_call(pipeline, call) != status) {
        fail_msg("answers %d, not %d: %s", pipeline->status, status,
                 buffer_text(&pipeline->answer));
    }
    assert_member(pipeline, "error", word);
    assert_member(pipeline, "correlation_id", answer_header(pipeline, "X-Correlation-ID"));
}

static inline void assert_answers(struct pipeline *pipeline, const struct call *call, int status)
{
    if (send_call(pipeline, call) != status) {
        fail_msg("answers %d, not %d: %s", pipeline->status, status,
                 buffer_text(&pipeline->answer));
    }
}

/* --- What is left behind -------------------------------------------------------------------- */

/* All log lines so far; valid until the fixture ends. */
static inline const char *pipeline_log(struct pipeline *pipeline)
{
    struct buffer text;
    buffer_init(&text, 8u << 20);
    assert_int_equal(file_read(pipeline_path(pipeline, "log"), &text), STATUS_OK);
    const char *copy = arena_copy(&pipeline->arena, buffer_text(&text), text.length);
    assert_non_null(copy);
    buffer_release(&text);
    return copy;
}

static inline size_t count_in(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part)) {
        count++;
    }
    return count;
}

#endif
