/*
 * stores/ledger_spill: see the header.
 */
#include "stores/ledger_spill.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log/log.h"
#include "json/json.h"
#include "json/write.h"

#define LINE_MAXIMUM  ((size_t)64 << 10)
#define FILE_MAXIMUM  ((off_t)64 << 20) /* is read whole */
#define ARENA_MAXIMUM ((size_t)FILE_MAXIMUM + (1 << 20))
#define NODES_MAXIMUM (64 * LINE_MAXIMUM) /* of the JSON of a line */

static void write_entry(struct buffer *line, const struct ledger_entry *entry)
{
    struct json_writer json;
    json_write_start(&json, line);
    json_write_object_begin(&json);
    json_write_member_integer(&json, "created_at", entry->created_at);
    json_write_member_text(&json, "request_id", entry->request_id);
    json_write_member_text(&json, "owner", entry->owner);
    json_write_member_text(&json, "principal", entry->principal);
    json_write_member_text(&json, "provider", entry->provider);
    json_write_member_text(&json, "model", entry->model);
    json_write_member_text(&json, "operation", entry->operation);
    json_write_member_text(&json, "outcome", entry->outcome);
    json_write_member_boolean(&json, "is_streamed", entry->is_streamed);
    json_write_member_boolean(&json, "is_estimated", entry->is_estimated);
    json_write_member_integer(&json, "input_tokens", entry->input_tokens);
    json_write_member_integer(&json, "output_tokens", entry->output_tokens);
    json_write_member_integer(&json, "cost_nanodollars", entry->cost_nanodollars);
    json_write_object_end(&json);
    buffer_append_char(line, '\n');
}

static bool write_all(int descriptor, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(descriptor, bytes, length);
        if (written <= 0) {
            return false;
        }
        bytes += written;
        length -= (size_t)written;
    }
    return true;
}

enum status ledger_spill_append(const char *path, const struct ledger_entry *entry)
{
    struct buffer line;
    struct stat before;
    buffer_init(&line, LINE_MAXIMUM);
    write_entry(&line, entry);
    enum status status = buffer_status(&line);
    int descriptor =
        status == STATUS_OK ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (descriptor >= 0) {
        bool has_room = flock(descriptor, LOCK_EX) == 0 && fstat(descriptor, &before) == 0 &&
                        before.st_size + (off_t)line.length < FILE_MAXIMUM;
        bool is_written =
            has_room && write_all(descriptor, line.data, line.length) && fdatasync(descriptor) == 0;
        if (has_room && !is_written && ftruncate(descriptor, before.st_size) != 0) {
            /* Half a line would spoil the next one, and a whole one that is called lost would count. */
            log_write(LOG_ERROR, "ledger_file_spoilt");
        }
        status = is_written ? STATUS_OK : STATUS_UNAVAILABLE;
        close(descriptor);
    } else if (status == STATUS_OK) {
        status = STATUS_UNAVAILABLE;
    }
    buffer_release(&line);
    return status;
}

static enum status read_file(struct ledger_spill *spill)
{
    struct stat attributes;
    if (flock(spill->descriptor, LOCK_EX) != 0 || fstat(spill->descriptor, &attributes) != 0) {
        return STATUS_UNAVAILABLE;
    }
    if (attributes.st_size == 0) {
        return STATUS_NOT_FOUND;
    }
    size_t size = (size_t)(attributes.st_size < FILE_MAXIMUM ? attributes.st_size : FILE_MAXIMUM);
    char *bytes = arena_allocate(&spill->arena, size);
    if (bytes == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t length = 0;
    ssize_t got = 1;
    while (length < size && (got = read(spill->descriptor, bytes + length, size - length)) > 0) {
        length += (size_t)got;
    }
    spill->text = (struct slice){bytes, length};
    return got < 0 ? STATUS_UNAVAILABLE : STATUS_OK;
}

enum status ledger_spill_open(const char *path, struct ledger_spill *spill)
{
    *spill = (struct ledger_spill){.descriptor = open(path, O_RDWR | O_CLOEXEC)};
    if (spill->descriptor < 0) {
        return STATUS_NOT_FOUND;
    }
    arena_init(&spill->arena, ARENA_MAXIMUM);
    enum status status = read_file(spill);
    if (status != STATUS_OK) {
        ledger_spill_close(spill, false);
    }
    return status;
}

static bool read_entry(const struct json_node *root, struct ledger_entry *out)
{
    *out = (struct ledger_entry){0};
    return json_get_integer(json_member(root, "created_at"), &out->created_at) &&
           json_get_text(json_member(root, "request_id"), &out->request_id) &&
           json_get_text(json_member(root, "owner"), &out->owner) &&
           json_get_text(json_member(root, "principal"), &out->principal) &&
           json_get_text(json_member(root, "provider"), &out->provider) &&
           json_get_text(json_member(root, "model"), &out->model) &&
           json_get_text(json_member(root, "operation"), &out->operation) &&
           json_get_text(json_member(root, "outcome"), &out->outcome) &&
           json_get_boolean(json_member(root, "is_streamed"), &out->is_streamed) &&
           json_get_boolean(json_member(root, "is_estimated"), &out->is_estimated) &&
           json_get_integer(json_member(root, "input_tokens"), &out->input_tokens) &&
           json_get_integer(json_member(root, "output_tokens"), &out->output_tokens) &&
           json_get_integer(json_member(root, "cost_nanodollars"), &out->cost_nanodollars);
}

enum status ledger_spill_each(struct ledger_spill *spill, struct storage_connection *connection)
{
    struct slice rest = spill->text;
    struct slice line;
    struct arena nodes;
    enum status status = STATUS_OK;
    arena_init(&nodes, NODES_MAXIMUM);
    spill->count = 0;
    while (status == STATUS_OK && rest.length > 0 && slice_split(&rest, '\n', &line)) {
        const struct json_node *root;
        struct ledger_entry entry;
        if (slice_trim(line).length == 0) {
            continue;
        }
        arena_reset(&nodes);
        status = json_parse(&nodes, line, &root);
        if (status == STATUS_NO_MEMORY) {
            break;
        }
        if (status != STATUS_OK || !read_entry(root, &entry)) {
            log_write(LOG_ERROR, "ledger_line_unreadable");
            status = STATUS_OK;
            continue;
        }
        status = ledger_insert_within(connection, &entry);
        spill->count += status == STATUS_OK;
    }
    arena_destroy(&nodes);
    return status;
}

void ledger_spill_close(struct ledger_spill *spill, bool is_done)
{
    if (is_done && ftruncate(spill->descriptor, 0) != 0) {
        log_write(LOG_ERROR, "ledger_file_not_emptied");
    }
    close(spill->descriptor);
    arena_destroy(&spill->arena);
}
