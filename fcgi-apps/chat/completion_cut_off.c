/*
 * chat/completion_cut_off: counts the part that has come of a whole answer whose end is missing.
 *
 * The text is given an end and then read like any other, so that it is counted by the same rules.
 */
#include <string.h>

#include "completion_reader.h"
#include "json/scan.h"

struct cut {
    const char *bytes;
    size_t at;
    size_t kept; /* up to here the text is JSON once the brackets in `open` follow */
    char open[JSON_DEPTH_MAXIMUM]; /* the closing brackets that are missing, outermost first */
    size_t depth;
    bool awaits_name; /* the next string is the name of a member */
};

/* Goes from behind the opening quote to behind the closing one; false when that is missing. Then *kept
 * is the end of the last whole character or escape. */
static bool skip_string(struct cut *cut, size_t length, size_t *kept)
{
    while (cut->at < length) {
        char byte = cut->bytes[cut->at];
        size_t size = byte != '\\'                                             ? 1
                      : cut->at + 1 < length && cut->bytes[cut->at + 1] == 'u' ? 6
                                                                               : 2;
        if (size > length - cut->at) {
            return false;
        }
        cut->at += size;
        if (byte == '"') {
            return true;
        }
        *kept = cut->at;
    }
    return false;
}

/* True when the text ends within a string that is a value. */
static bool find_cut(struct cut *cut, size_t length)
{
    while (cut->at < length) {
        char byte = cut->bytes[cut->at++];
        if (byte == '"') {
            size_t kept = cut->at;
            bool is_value = !cut->awaits_name;
            if (!skip_string(cut, length, &kept)) {
                cut->kept = is_value ? kept : cut->kept;
                return is_value;
            }
            cut->kept = is_value ? cut->at : cut->kept;
        } else if (byte == '{' || byte == '[') {
            if (cut->depth == sizeof cut->open) {
                return false;
            }
            cut->open[cut->depth++] = byte == '{' ? '}' : ']';
            cut->kept = cut->at;
            cut->awaits_name = byte == '{';
        } else if (byte == '}' || byte == ']') {
            cut->depth -= cut->depth > 0;
            cut->kept = cut->at;
            cut->awaits_name = false;
        } else if (byte == ',') {
            cut->kept = cut->at - 1; /* a number ends where something else begins */
            cut->awaits_name = cut->depth > 0 && cut->open[cut->depth - 1] == '}';
        } else if (byte == ':') {
            cut->awaits_name = false;
        }
    }
    return false;
}

void completion_read_cut_off(struct slice text, struct arena *scratch,
                             struct completion_progress *progress)
{
    struct cut cut = {.bytes = text.data};
    struct completion_chunk chunk;
    bool is_in_string = find_cut(&cut, text.length);
    size_t length = cut.kept;
    *progress = (struct completion_progress){0};
    char *ended = arena_allocate(scratch, length + 1 + cut.depth);
    if (ended == NULL) {
        return;
    }
    memcpy(ended, text.data, length);
    if (is_in_string) {
        ended[length++] = '"';
    }
    while (cut.depth > 0) {
        ended[length++] = cut.open[--cut.depth];
    }
    /* It need not be a valid answer: `progress` has all that was understood of it. */
    enum status ignored =
        completion_read_whole((struct slice){ended, length}, scratch, progress, &chunk, NULL);
    (void)ignored;
}
