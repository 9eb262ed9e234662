/*
 * memory: the only place that calls malloc, realloc and free.
 *
 * Tests make the n-th allocation of a thread fail (torture tests); nothing else may allocate, so
 * every failure path can be walked. Zero sizes are refused (NULL). Memory that lives as long as a
 * request belongs in an arena (base/arena.h), not here.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

#include "base/status.h"

/* Returns `size` zeroed bytes, or NULL. Owned by the caller: memory_release. */
void *memory_allocate(size_t size) MUST_CHECK;

/* Like realloc; new bytes are not zeroed. On failure NULL, and `old` stays valid. */
void *memory_resize(void *old, size_t size) MUST_CHECK;

/* Returns a NUL-terminated copy of `length` bytes, or NULL. */
char *memory_copy_text(const char *text, size_t length) MUST_CHECK;

/* Frees; NULL is allowed. */
void memory_release(void *pointer);

/* Overwrites with zeros in a way the compiler keeps. For passwords, keys and tokens. */
void memory_wipe(void *pointer, size_t size);

/* Tests only: the allocation number `n` from now on (1 = next) of this thread and all later ones
 * fail, or that one alone; 0 switches it off. memory_failures_seen tells how many failed since. */
void memory_fail_after(unsigned long n);
void memory_fail_only(unsigned long n);
unsigned long memory_failures_seen(void);

#endif
