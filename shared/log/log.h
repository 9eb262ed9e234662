/*
 * log: one JSON object per line, one write(2) per line.
 *
 * Lines go to stderr or to LOG_FILE (opened O_APPEND, so that all programs of a host may share
 * it; log_reopen on SIGHUP). Member names are those of docs/logs: timestamp, level, logger,
 * message, correlation_id, then the fields of the event. Never pass passwords, tokens, keys,
 * prompts or answers: the lint script looks for such field names. Thread-safe. Never waits for
 * whoever reads a pipe.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_CRITICAL };

enum log_field_kind { LOG_FIELD_TEXT, LOG_FIELD_INTEGER, LOG_FIELD_DOUBLE, LOG_FIELD_BOOLEAN };

struct log_field {
    const char *name;
    enum log_field_kind kind;
    union {
        const char *text; /* NULL: the field is left out */
        int64_t integer;
        double number;
        bool boolean;
    } value;
};

#define LOG_TEXT(field_name, field_value)                                                          \
    ((struct log_field){.name = (field_name), .kind = LOG_FIELD_TEXT, .value.text = (field_value)})
#define LOG_INTEGER(field_name, field_value)                                                       \
    ((struct log_field){                                                                           \
        .name = (field_name), .kind = LOG_FIELD_INTEGER, .value.integer = (field_value)})
#define LOG_DOUBLE(field_name, field_value)                                                        \
    ((struct log_field){                                                                           \
        .name = (field_name), .kind = LOG_FIELD_DOUBLE, .value.number = (field_value)})
#define LOG_BOOLEAN(field_name, field_value)                                                       \
    ((struct log_field){                                                                           \
        .name = (field_name), .kind = LOG_FIELD_BOOLEAN, .value.boolean = (field_value)})

/* `program` is the default logger name ("quintet.auth") and must stay valid; `file` NULL or ""
 * means stderr. STATUS_DENIED or STATUS_NOT_FOUND when the file cannot be opened. */
enum status log_open(const char *program, enum log_level level, const char *file) MUST_CHECK;

/* Opens LOG_FILE anew (after rotation); keeps the old one when that fails. */
void log_reopen(void);

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* "DEBUG".."CRITICAL" (also WARN), any case. */
enum status log_parse_level(const char *text, enum log_level *level) MUST_CHECK;

/* Writes a line with the correlation id of the thread's context. `message` is an event word
 * (request_completed); values go into fields. A line longer than 8 KiB loses its last fields and says
 * "truncated":true. */
void log_write_fields(enum log_level level, const char *message, const struct log_field *fields,
                      size_t count);

#define log_write(level, message, ...)                                                             \
    log_write_fields((level), (message), (struct log_field[]){__VA_ARGS__},                        \
                     sizeof((struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

#endif
