/*
 * base/library: shared libraries that are loaded when they are first needed.
 *
 * A program that never needs a heavy library, such as one started by CGI for a single answer, pays
 * neither for finding and relocating it nor for its memory. The note in the binary tells packagers
 * which library will be looked for:
 * https://uapi-group.org/specifications/specs/elf_dlopen_metadata/
 */
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define LIBRARY_NOTE_TYPE  0x407c0c0a
#define LIBRARY_NOTE_OWNER "FDO"

/* Puts the note into the program: once in a file, with literal texts. `priority` is "required",
 * "recommended" or "suggested". */
#define LIBRARY_NOTE(feature, description, priority, file)                                         \
    LIBRARY_NOTE_OF("[{\"feature\":\"" feature "\",\"description\":\"" description                 \
                    "\",\"priority\":\"" priority "\",\"soname\":[\"" file "\"]}]")
#define LIBRARY_NOTE_OF(text)                                                                      \
    static const struct {                                                                          \
        uint32_t owner_size;                                                                       \
        uint32_t note_size;                                                                        \
        uint32_t type;                                                                             \
        char owner[sizeof LIBRARY_NOTE_OWNER];                                                     \
        _Alignas(4) char note[sizeof(text)];                                                       \
    } library_note __attribute__((used, section(".note.dlopen"), aligned(4))) = {                  \
        sizeof LIBRARY_NOTE_OWNER, sizeof(text), LIBRARY_NOTE_TYPE, LIBRARY_NOTE_OWNER, text}

struct library_function {
    const char *name;
    size_t offset; /* of the pointer in the table of functions */
};

/* Loads the library and fills in the table at `functions`. STATUS_UNAVAILABLE: it is missing, or one
 * of its functions is; *problem says which then and is valid until the thread's next call of dlopen's
 * family. */
enum status library_load(const char *file, const struct library_function *wanted, size_t count,
                         void *functions, const char **problem) MUST_CHECK;

#endif
