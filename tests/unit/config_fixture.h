/*
 * What the tests of config/ share: a scratch directory, loading from parts, and looking at texts.
 */
#ifndef TESTS_UNIT_CONFIG_FIXTURE_H
#define TESTS_UNIT_CONFIG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "config/config.h"
#include "config/internal.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* 64 hex digits, as `openssl rand -hex 32` prints them. */
#define GOOD_SECRET  "3f1c9a0b7d2e4f586a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b"
#define OTHER_SECRET "a90b1c2d3e4f5061728394a5b6c7d8e9f00112233445566778899aabbccddeef"

struct fixture {
    char directory[64];
    char path[128]; /* of the last file written */
    struct buffer problem;
    struct config *config;
};

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    assert_non_null(fixture);
    snprintf(fixture->directory, sizeof fixture->directory, "/tmp/test_config.XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    buffer_init(&fixture->problem, 16384);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char command[128];

    if (fixture == NULL) {
        return 0; /* the setup failed */
    }
    snprintf(command, sizeof command, "rm -rf %s", fixture->directory);
    config_release(fixture->config);
    buffer_release(&fixture->problem);
    free(fixture);
    return system(command);
}

static inline const char *write_bytes(struct fixture *fixture, const char *name, const void *bytes,
                                      size_t length)
{
    snprintf(fixture->path, sizeof fixture->path, "%s/%s", fixture->directory, name);
    assert_int_equal(file_write(fixture->path, bytes, length, 0600), STATUS_OK);
    return fixture->path;
}

static inline const char *write_text(struct fixture *fixture, const char *name, const char *text)
{
    return write_bytes(fixture, name, text, strlen(text));
}

static inline enum status load(struct fixture *fixture, const char *const *environment,
                               const char *file)
{
    config_release(fixture->config);
    buffer_reset(&fixture->problem);
    return config_load_from(&fixture->config, environment, file, &fixture->problem);
}

#define ENVIRONMENT(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_ENVIRONMENT   ((const char *const[]){NULL})

#define assert_loads(fixture, environment, file)                                                   \
    do {                                                                                           \
        enum status loaded = load((fixture), (environment), (file));                               \
        if (loaded != STATUS_OK) {                                                                 \
            fail_msg("refused: %s", buffer_text(&(fixture)->problem));                             \
        }                                                                                          \
    } while (0)

static inline void assert_one_line(const char *text)
{
    assert_true(strlen(text) > 0);
    assert_null(strchr(text, '\n'));
    assert_null(strchr(text, '\r'));
}

static inline void assert_holds(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" does not hold \"%s\"", text, part);
    }
}

static inline void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) {
        fail_msg("\"%s\" holds \"%s\"", text, part);
    }
}

static inline void assert_describes(const struct config *config, const char *name, bool reveal,
                                    const char *expected)
{
    struct buffer text;
    enum config_source source;

    buffer_init(&text, 65536);
    assert_int_equal(config_describe(config, name, reveal, &text, &source), STATUS_OK);
    if (strcmp(buffer_text(&text), expected) != 0) {
        fail_msg("%s is \"%s\", not \"%s\"", name, buffer_text(&text), expected);
    }
    buffer_release(&text);
}

#define CONFIG_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

#endif
