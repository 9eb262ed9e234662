/*
 * file: whole files in, whole files out. All descriptors are close-on-exec.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/status.h"

/* Appends the file's content to `out`; STATUS_NOT_FOUND, STATUS_TOO_LARGE (out's maximum),
 * STATUS_DENIED or STATUS_INTERNAL. */
enum status file_read(const char *path, struct buffer *out) MUST_CHECK;

/* Replaces `path` at once: temporary file beside it, fsync, rename. Readers see old or new. */
enum status file_write(const char *path, const void *bytes, size_t length, mode_t mode) MUST_CHECK;

/* Creates `path` with this content only if it does not exist; STATUS_CONFLICT if it does. Two
 * processes racing: exactly one wins, and nobody reads a half-written file. */
enum status file_create(const char *path, const void *bytes, size_t length, mode_t mode) MUST_CHECK;

/* Takes the places of standard input, output and error that whoever started us has left empty, so
 * that no other file comes to stand there and receives what is printed. Reading and writing there
 * fail as before. To be called before anything is opened. */
void file_hold_standard_descriptors(void);

/* mkdir -p; an existing directory is fine. */
enum status file_make_directory(const char *path, mode_t mode) MUST_CHECK;

#endif
