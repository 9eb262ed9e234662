/*
 * log: lines are built on the stack of the caller and written whole.
 *
 * Nothing is locked. A file in append mode takes each write(2) whole, so lines of threads and of
 * processes never mix; on a pipe that holds up to PIPE_BUF bytes. log_reopen puts the new file
 * under the descriptor of the old one, so that a thread that is just writing cannot hit a closed
 * one. A line that cannot be written is lost, also one for which a pipe has no room: whoever reads
 * the log must not be able to stop an event loop. The next line that can be written is followed by
 * one that tells how many were lost.
 */
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/context.h"
#include "base/text.h"
#include "json/write.h"

#define LINE_MAXIMUM    8192 /* with the newline */
#define MESSAGE_MAXIMUM 512  /* of bytes before escaping, which makes at most six of one */
#define LOGGER_MAXIMUM  128
#define FILE_MODE       0640

static const char line_end[] = "}\n";
static const char truncated_end[] = ",\"truncated\":true}\n";
#define LINE_END_LENGTH      (sizeof(line_end) - 1)
#define TRUNCATED_END_LENGTH (sizeof(truncated_end) - 1)

/* The longest line without fields fits, so only fields can be lost for want of room. */
_Static_assert(6 * (MESSAGE_MAXIMUM + LOGGER_MAXIMUM + CONTEXT_CORRELATION_MAXIMUM) + 256 <
                   LINE_MAXIMUM,
               "the fixed members of a line must fit");

static _Atomic(const char *) logger = "quintet";
static atomic_int threshold = LOG_INFO;
static atomic_int descriptor = STDERR_FILENO;
static char file_path[PATH_MAX]; /* "" for stderr; written by log_open alone */

static atomic_uint lost; /* lines since the last that was written */

static const struct {
    const char *name;
    enum log_level level;
} level_names[] = {
    [LOG_DEBUG] = {"DEBUG", LOG_DEBUG},          [LOG_INFO] = {"INFO", LOG_INFO},
    [LOG_WARNING] = {"WARNING", LOG_WARNING},    [LOG_ERROR] = {"ERROR", LOG_ERROR},
    [LOG_CRITICAL] = {"CRITICAL", LOG_CRITICAL}, {"WARN", LOG_WARNING}, /* a spelling to accept */
};

/* A descriptor, or -1 with errno. */
static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, FILE_MODE);
}

enum status log_open(const char *program, enum log_level level, const char *file)
{
    const char *path = file == NULL ? "" : file;
    size_t length = strlen(path);
    int opened = STDERR_FILENO;
    if (length >= sizeof(file_path)) {
        return STATUS_NOT_FOUND;
    }
    if (length > 0) {
        opened = open_file(path);
        if (opened < 0) {
            return errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_DENIED;
        }
    }
    memcpy(file_path, path, length + 1);
    atomic_store(&logger, program);
    log_set_level(level);
    atomic_store(&lost, 0);
    int before = atomic_exchange(&descriptor, opened);
    if (before != STDERR_FILENO) {
        close(before);
    }
    return STATUS_OK;
}

void log_reopen(void)
{
    if (file_path[0] == '\0') {
        return;
    }
    int opened = open_file(file_path);
    if (opened < 0) {
        log_write(LOG_ERROR, "log_reopen_failed", LOG_INTEGER("error_number", errno));
        return;
    }
    dup3(opened, atomic_load(&descriptor), O_CLOEXEC);
    close(opened);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

enum status log_parse_level(const char *text, enum log_level *level)
{
    struct slice word = slice_of(text);
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (slice_equals_ignoring_case(word, level_names[i].name)) {
            *level = level_names[i].level;
            return STATUS_OK;
        }
    }
    return STATUS_INVALID;
}

/* The first `maximum` bytes of a text. */
static struct slice head_of(const char *text, size_t maximum)
{
    return (struct slice){.data = text, .length = strnlen(text, maximum)};
}

static void put_fixed_members(struct json_writer *writer, enum log_level level,
                              struct slice message)
{
    char timestamp[CLOCK_TIMESTAMP_SIZE];
    clock_format_timestamp(clock_wall_milliseconds(), timestamp);
    json_write_member_text(writer, "timestamp", timestamp);
    json_write_member_text(writer, "level", level_names[level].name);
    json_write_member_slice(writer, "logger", head_of(atomic_load(&logger), LOGGER_MAXIMUM));
    json_write_member_slice(writer, "message", message);
    const char *correlation_id = context_current()->correlation_id;
    json_write_member_text(writer, "correlation_id",
                           correlation_id[0] == '\0' ? NULL : correlation_id);
}

static void put_field(struct json_writer *writer, const struct log_field *field)
{
    switch (field->kind) {
    case LOG_FIELD_TEXT:
        if (field->value.text != NULL) {
            json_write_member_text(writer, field->name, field->value.text);
        }
        break;
    case LOG_FIELD_INTEGER:
        json_write_member_integer(writer, field->name, field->value.integer);
        break;
    case LOG_FIELD_DOUBLE:
        json_write_member_double(writer, field->name, field->value.number);
        break;
    case LOG_FIELD_BOOLEAN:
        json_write_member_boolean(writer, field->name, field->value.boolean);
        break;
    }
}

/* Returns false when they did not all fit. Then as many of the first are there as leave room for
 * truncated_end. */
static bool put_fields(struct json_writer *writer, const struct log_field *fields, size_t count)
{
    struct buffer *line = writer->out;
    size_t kept = line->length;
    for (size_t i = 0; i < count; i++) {
        put_field(writer, &fields[i]);
        if (buffer_status(line) != STATUS_OK) {
            buffer_truncate(line, kept);
            return false;
        }
        if (line->length <= LINE_MAXIMUM - TRUNCATED_END_LENGTH) {
            kept = line->length;
        }
    }
    return true;
}

/* A file always has room; a pipe that has some takes PIPE_BUF bytes at least (pipe(7)). */
static bool has_room(int target)
{
    struct pollfd ready = {.fd = target, .events = POLLOUT};
    return poll(&ready, 1, 0) != 0;
}

/* False when the line is lost. */
static bool write_line(const char *at, size_t length)
{
    int target = atomic_load_explicit(&descriptor, memory_order_relaxed);
    if (!has_room(target)) {
        return false;
    }
    while (length > 0) {
        ssize_t written = write(target, at, length);
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            return false;
        }
        /* A second write happens only when the disk is full or a pipe was cut short. */
        at += written;
        length -= (size_t)written;
    }
    return true;
}

void log_write_fields(enum log_level level, const char *message, const struct log_field *fields,
                      size_t count)
{
    if (!log_enabled(level)) {
        return;
    }
    int saved_errno = errno;
    struct slice head = head_of(message, MESSAGE_MAXIMUM);
    bool whole = message[head.length] == '\0';

    /* A buffer that has its maximum and the final NUL from the start never grows, so it may stand on
     * the stack. The maximum leaves room for the end of the line. */
    char memory[LINE_MAXIMUM + 1];
    size_t maximum = LINE_MAXIMUM - (whole ? LINE_END_LENGTH : TRUNCATED_END_LENGTH);
    struct buffer line = {
        .data = memory,
        .capacity = maximum + 1,
        .maximum = maximum,
        .status = STATUS_OK,
    };
    memory[0] = '\0';

    struct json_writer writer;
    json_write_start(&writer, &line);
    json_write_object_begin(&writer);
    put_fixed_members(&writer, level, head);
    whole = put_fields(&writer, fields, count) && whole;

    size_t end_length = whole ? LINE_END_LENGTH : TRUNCATED_END_LENGTH;
    memcpy(memory + line.length, whole ? line_end : truncated_end, end_length);
    if (!write_line(memory, line.length + end_length)) {
        atomic_fetch_add(&lost, 1);
    } else if (atomic_load_explicit(&lost, memory_order_relaxed) > 0) {
        log_write(LOG_WARNING, "log_lines_lost", LOG_INTEGER("lines", atomic_exchange(&lost, 0)));
    }
    errno = saved_errno;
}
