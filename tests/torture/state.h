/*
 * tests/torture/state: what a tortured request leaves in the database.
 *
 * A connection of the test's own keeps a copy of every table and puts it back before each run, so
 * that all runs begin alike. After a run the tables are as before or as after a healthy run, in one
 * piece: never half of it. An answer that says it is done is. That the connection can write at
 * all, without waiting, shows that no transaction was left open.
 */
#ifndef TESTS_TORTURE_STATE_H
#define TESTS_TORTURE_STATE_H

#include <sqlite3.h>

#include "torture.h"

#define STATE_TEXT_MAXIMUM ((size_t)4 << 20)

struct torture_state {
    sqlite3 *watch;
    sqlite3_stmt *version; /* changes when somebody else has written */
    int64_t seen_version;
    bool is_changed;       /* since the copy was put back */
    struct buffer names;   /* of the tables, each with its NUL */
    struct buffer restore; /* SQL */
    struct buffer before;  /* every value, each between two U+001F */
    struct buffer before_masked;
    struct buffer after_masked;
    struct buffer now_masked;
    bool has_after;
    /* Tells whether the tables may look as they do, when they are neither as before nor as after;
     * NULL: they may not. */
    bool (*allows)(struct torture_state *state, struct torture_result result);
};

/* --- SQL ------------------------------------------------------------------------------------ */

static inline void state_run(struct torture_state *state, const char *sql)
{
    char *problem = NULL;
    if (sqlite3_exec(state->watch, sql, NULL, NULL, &problem) != SQLITE_OK) {
        fail_msg("%s: %s", problem, sql);
    }
}

static inline int64_t state_number(struct torture_state *state, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(state->watch, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

static inline int64_t state_version(struct torture_state *state)
{
    assert_int_equal(sqlite3_step(state->version), SQLITE_ROW);
    int64_t version = sqlite3_column_int64(state->version, 0);
    sqlite3_reset(state->version);
    return version;
}

static inline const char *state_next_table(const struct torture_state *state, const char *name)
{
    const char *next = name == NULL ? buffer_text(&state->names) : name + strlen(name) + 1;
    return next < state->names.data + state->names.length ? next : NULL;
}

/* --- A picture of all rows ------------------------------------------------------------------ */

#define STATE_ROWS_MAXIMUM 1000

static inline int state_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A value as text between two separators; what is not text in hexadecimal. */
static inline void state_add_value(struct buffer *out, sqlite3_stmt *row, int column)
{
    const unsigned char *bytes = sqlite3_column_blob(row, column);
    size_t length = (size_t)sqlite3_column_bytes(row, column);
    bool is_text = sqlite3_column_type(row, column) != SQLITE_BLOB;
    buffer_append_char(out, '\x1f');
    for (size_t i = 0; i < length; i++) {
        if (is_text) {
            buffer_append_char(out, (char)bytes[i]);
        } else {
            buffer_append_format(out, "%02x", bytes[i]);
        }
    }
    buffer_append_char(out, '\x1f');
}

/* Ids that stood there before are told apart; new ones, and times, are all alike. */
static inline void state_mask_value(const struct torture_state *state, struct slice value,
                                    struct buffer *out)
{
    size_t digits = mask_digits((struct slice){value.data + 1, value.length - 2});
    bool is_number = digits + 2 == value.length && digits < MASK_WORD_LENGTH;
    bool was_there = state->before.length > 0 && memmem(state->before.data, state->before.length,
                                                        value.data, value.length) != NULL;
    if (was_there && !is_number) {
        buffer_append(out, value.data, value.length);
    } else {
        mask_text(out, value);
    }
}

static inline void state_picture_table(struct torture_state *state, const char *name,
                                       struct buffer *raw, struct buffer *masked)
{
    char sql[256];
    char *lines[STATE_ROWS_MAXIMUM];
    size_t count = 0;
    struct buffer line;
    sqlite3_stmt *row = NULL;
    buffer_init(&line, STATE_TEXT_MAXIMUM);
    snprintf(sql, sizeof sql, "SELECT * FROM main.%s", name);
    assert_int_equal(sqlite3_prepare_v2(state->watch, sql, -1, &row, NULL), SQLITE_OK);
    while (sqlite3_step(row) == SQLITE_ROW) {
        buffer_reset(&line);
        for (int i = 0; i < sqlite3_column_count(row); i++) {
            size_t start = raw->length;
            state_add_value(raw, row, i);
            state_mask_value(state, (struct slice){raw->data + start, raw->length - start}, &line);
        }
        assert_true(count < STATE_ROWS_MAXIMUM);
        lines[count++] = strdup(buffer_text(&line));
    }
    assert_int_equal(sqlite3_finalize(row), SQLITE_OK);
    qsort(lines, count, sizeof lines[0], state_compare);
    for (size_t i = 0; i < count; i++) {
        buffer_append_format(masked, "%s: ", name);
        buffer_append_text(masked, lines[i]);
        buffer_append_char(masked, '\n');
        free(lines[i]);
    }
    buffer_release(&line);
}

/* What nobody sees any more may be removed by the request or later. */
static const char state_remove_loose[] =
    "DELETE FROM main.chart_payloads WHERE number IN (SELECT payload FROM main.chart_blocks WHERE "
    "strip IN (SELECT number FROM main.chart_loose_strips WHERE prepared_at = 0));"
    "DELETE FROM main.chart_blocks WHERE strip IN (SELECT number FROM main.chart_loose_strips "
    "WHERE prepared_at = 0);"
    "DELETE FROM main.chart_loose_strips WHERE prepared_at = 0;";

static inline void state_picture(struct torture_state *state, struct buffer *masked)
{
    struct buffer raw;
    buffer_init(&raw, STATE_TEXT_MAXIMUM);
    buffer_reset(masked);
    for (const char *name = NULL; (name = state_next_table(state, name)) != NULL;) {
        state_picture_table(state, name, &raw, masked);
    }
    assert_int_equal(buffer_status(&raw), STATUS_OK);
    assert_int_equal(buffer_status(masked), STATUS_OK);
    if (state->before.length == 0) {
        /* Seen for the first time: once more, now that it is known what was there. */
        state->before = raw;
        state_picture(state, masked);
        return;
    }
    buffer_release(&raw);
}

/* What a program keeps to write it later would be written in the next run: called before each, it
 * writes that; true when the database may have changed. NULL: nothing is kept. */
static bool (*state_settle)(struct pipeline *pipeline);

/* --- Around a run --------------------------------------------------------------------------- */

static inline void state_before_run(struct pipeline *pipeline, void *context)
{
    struct torture_state *state = context;
    if (state_settle != NULL && state_settle(pipeline)) {
        state->is_changed = true;
    }
    if (state->is_changed) {
        state_run(state, buffer_text(&state->restore));
        state->is_changed = false;
        state->seen_version = state_version(state);
    }
}

static inline void state_after_run(struct pipeline *pipeline, struct torture_result result,
                                   void *context)
{
    struct torture_state *state = context;
    int64_t version = state_version(state);
    state->is_changed = version != state->seen_version;
    state->seen_version = version;
    if (!state->has_after) {
        state_run(state, state_remove_loose);
        state_picture(state, &state->after_masked);
        state->has_after = true;
        return;
    }
    const char *now = buffer_text(&state->before_masked);
    if (state->is_changed) {
        state_run(state, state_remove_loose);
        state_picture(state, &state->now_masked);
        now = buffer_text(&state->now_masked);
    }
    bool is_after = strcmp(now, buffer_text(&state->after_masked)) == 0;
    bool is_before = strcmp(now, buffer_text(&state->before_masked)) == 0;
    bool is_right = result.outcome == TORTURE_WHOLE ? is_after : is_after || is_before;
    if (!is_right && (state->allows == NULL || !state->allows(state, result))) {
        fail_msg("%s\nhas left\n%s\nneither\n%s\nnor\n%s", buffer_text(&pipeline->answer), now,
                 buffer_text(&state->before_masked), buffer_text(&state->after_masked));
    }
}

/* --- Requests ------------------------------------------------------------------------------- */

static inline void state_copy_tables(struct torture_state *state)
{
    char sql[256];
    sqlite3_stmt *row = NULL;
    static const char list[] = "SELECT name FROM main.sqlite_master WHERE type = 'table' "
                               "AND name NOT LIKE 'sqlite_%'";
    assert_int_equal(sqlite3_prepare_v2(state->watch, list, -1, &row, NULL), SQLITE_OK);
    while (sqlite3_step(row) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(row, 0);
        buffer_append(&state->names, name, strlen(name) + 1);
    }
    assert_int_equal(sqlite3_finalize(row), SQLITE_OK);
    state_run(state, "ATTACH ':memory:' AS kept");
    buffer_append_text(&state->restore, "BEGIN IMMEDIATE;");
    for (const char *name = NULL; (name = state_next_table(state, name)) != NULL;) {
        snprintf(sql, sizeof sql, "CREATE TABLE kept.kept_%s AS SELECT * FROM main.%s", name, name);
        state_run(state, sql);
        buffer_append_format(&state->restore,
                             "DELETE FROM main.%s; INSERT INTO main.%s SELECT * FROM kept_%s;",
                             name, name, name);
    }
    /* Where numbers that are never given twice go on: the same row has the same number each time. */
    state_run(state, "CREATE TABLE kept.kept_sequence AS SELECT * FROM main.sqlite_sequence");
    buffer_append_text(&state->restore, "DELETE FROM main.sqlite_sequence; INSERT INTO "
                                        "main.sqlite_sequence SELECT * FROM kept_sequence;COMMIT");
    assert_int_equal(buffer_status(&state->restore), STATUS_OK);
}

static inline void state_open(struct torture_state *state, struct pipeline *pipeline)
{
    struct buffer *const buffers[] = {&state->names,        &state->restore,
                                      &state->before,       &state->before_masked,
                                      &state->after_masked, &state->now_masked};
    *state = (struct torture_state){.watch = NULL};
    for (size_t i = 0; i < COUNT(buffers); i++) {
        buffer_init(buffers[i], STATE_TEXT_MAXIMUM);
    }
    const char *path = pipeline->app->config->database_url + strlen("sqlite:");
    assert_int_equal(sqlite3_open_v2(path, &state->watch, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    /* What triggers keep is in the copy already. */
    sqlite3_db_config(state->watch, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, (int *)NULL);
    state_copy_tables(state);
    state_picture(state, &state->before_masked);
    assert_int_equal(
        sqlite3_prepare_v2(state->watch, "PRAGMA main.data_version", -1, &state->version, NULL),
        SQLITE_OK);
    state->seen_version = state_version(state);
}

static inline void state_close(struct torture_state *state)
{
    sqlite3_finalize(state->version);
    assert_int_equal(sqlite3_close(state->watch), SQLITE_OK);
    buffer_release(&state->names);
    buffer_release(&state->restore);
    buffer_release(&state->before);
    buffer_release(&state->before_masked);
    buffer_release(&state->after_masked);
    buffer_release(&state->now_masked);
}

/* The first request of a program: nothing is open or prepared yet. */
struct cold_start {
    struct torture_state state;
    const struct app_options *options;
    const char *const *settings;
};

static inline void state_before_cold_run(struct pipeline *pipeline, void *context)
{
    const struct cold_start *cold = context;
    state_before_run(pipeline, context);
    pipeline_open(pipeline, cold->options, cold->settings);
}

static inline void torture_first_request(struct pipeline *pipeline,
                                         const struct app_options *options,
                                         const char *const *settings, const struct call *call)
{
    struct cold_start cold = {.options = options, .settings = settings};
    state_open(&cold.state, pipeline);
    const struct torture_plan plan = {
        .call = call, .before = state_before_cold_run, .after = state_after_run, .context = &cold};
    torture_with(pipeline, &plan);
    state_close(&cold.state);
}

/* Tortures the request, and leaves the answer and the tables of a healthy run. */
static inline void
torture_state_with(struct pipeline *pipeline, const struct call *call, bool may_vanish,
                   bool (*allows)(struct torture_state *state, struct torture_result result))
{
    struct torture_state state;
    state_open(&state, pipeline);
    state.allows = allows;
    const struct torture_plan plan = {.call = call,
                                      .may_vanish = may_vanish,
                                      .before = state_before_run,
                                      .after = state_after_run,
                                      .context = &state};
    torture_with(pipeline, &plan);
    state_before_run(pipeline, &state);
    send_call(pipeline, call);
    state_close(&state);
}

/* The same for a request that must answer so. */
static inline void torture_request(struct pipeline *pipeline, const struct call *call, int status)
{
    torture_state_with(pipeline, call, false, NULL);
    assert_int_equal(pipeline->status, status);
}

#endif
