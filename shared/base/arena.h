/*
 * arena: memory that lives exactly as long as one request.
 *
 * Allocations are never freed singly; arena_reset and arena_destroy free all of them. An arena
 * cannot exist without a maximum, so a hostile request ends in STATUS_NO_MEMORY, not in a machine
 * that swaps. Not thread-safe: an arena belongs to whoever holds the request.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/status.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes handed out since the last reset */
    size_t maximum;
};

/* No memory is taken before the first allocation. `maximum` in bytes, > 0. */
void arena_init(struct arena *arena, size_t maximum);

/* Returns `size` zeroed bytes aligned for any type, or NULL when memory or the maximum is spent.
 * size 0 returns a valid pointer that must not be read. */
void *arena_allocate(struct arena *arena, size_t size) MUST_CHECK;

/* Returns a NUL-terminated copy of `length` bytes, or NULL. */
char *arena_copy(struct arena *arena, const char *text, size_t length) MUST_CHECK;

/* printf into the arena; NULL on failure. */
char *arena_format(struct arena *arena, const char *format, ...) MUST_CHECK PRINTF_LIKE(2, 3);

/* Forgets everything but keeps one block of ordinary size for the next request. */
void arena_reset(struct arena *arena);

/* Frees everything. Idempotent. */
void arena_destroy(struct arena *arena);

#endif
