/*
 * json/internal: what the files of json/ share with each other and with nobody else.
 */
#ifndef JSON_INTERNAL_H
#define JSON_INTERNAL_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "base/siphash.h"
#include "json/scan.h"

/* --- strings ---------------------------------------------------------------------------------- */

/* Skips the bytes that stand for themselves in a string: ASCII without '"', '\' and controls. Looks
 * at eight bytes at once; the lowest marked byte is exact, for a borrow only travels upwards. */
static inline const char *json_skip_plain(const char *at, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        word = le64toh(word);
        uint64_t marks = (word | (word - ones * 0x20) | ((word ^ (ones * '"')) - ones) |
                          ((word ^ (ones * '\\')) - ones)) &
                         (ones * 0x80);
        if (marks != 0) {
            return at + __builtin_ctzll(marks) / 8;
        }
        at += 8;
    }
    while (at < end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' &&
           *at != '\\') {
        at++;
    }
    return at;
}

/* `at` stands behind an opening quote. Returns the place behind the closing one, or NULL if that is
 * not a string. Sets *has_nul, and never clears it, when an escape spells U+0000. */
const char *json_skip_string(const char *at, const char *end, bool *has_nul);

/* Unescapes the inside (without quotes) of a valid string to `out`, which has room for as many
 * bytes; returns the length. */
size_t json_unescape_inside(struct slice inside, char *out);

/* --- duplicate members ------------------------------------------------------------------------ */

#define JSON_NAMES_ON_STACK 64

/* The names of all objects that are open at one moment, outermost first. */
struct json_names {
    struct arena *scratch;
    struct slice *list; /* `first`, or memory of the arena */
    size_t count;
    size_t capacity;
    size_t starts[JSON_DEPTH_MAXIMUM]; /* where the names of each open object begin */
    int open;
    uint32_t *table; /* hash table of large objects, used again for each; see names.c */
    size_t table_size;
    struct siphash_key key;
    struct slice first[JSON_NAMES_ON_STACK];
};

void json_names_start(struct json_names *names, struct arena *scratch);
void json_names_open_object(struct json_names *names);
/* `name` without quotes, escapes kept. STATUS_NO_MEMORY. */
enum status json_names_add(struct json_names *names, struct slice name) MUST_CHECK;
/* STATUS_INVALID if the innermost object has a name twice; STATUS_NO_MEMORY. */
enum status json_names_close_object(struct json_names *names) MUST_CHECK;

/* --- validation ------------------------------------------------------------------------------- */

/* cJSON up to 1.7.18 reads numbers through a buffer of this many characters and refuses documents
 * with longer ones (CVE-2023-26819). */
#define JSON_NUMBER_ORDINARY 63

/* What is valid JSON but needs care before cJSON sees it. */
struct json_findings {
    bool has_nul;         /* an escape spells U+0000 */
    bool has_long_number; /* longer than JSON_NUMBER_ORDINARY */
};

/* json_validate that tells more. */
enum status json_inspect(struct slice text, struct arena *scratch,
                         struct json_findings *findings) MUST_CHECK;

#endif
