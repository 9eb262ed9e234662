/*
 * memory: malloc, realloc and free, and the switch by which tests make them fail.
 *
 * The switch is one thread-local counter. While it is off, an allocation pays one load and one
 * branch that is never taken.
 */
#include "base/memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* 0: off. Otherwise the number of the allocation, counted from now, that fails first. Unless that
 * is to be the only one, it stays at 1 from then on, so that all later ones fail too. */
static _Thread_local unsigned long fail_countdown;
static _Thread_local bool fails_only_one;
static _Thread_local unsigned long failures;

static bool must_fail(void)
{
    if (__builtin_expect(fail_countdown == 0, true)) {
        return false;
    }
    if (fail_countdown > 1) {
        fail_countdown--;
        return false;
    }
    failures++;
    fail_countdown = fails_only_one ? 0 : 1;
    return true;
}

void *memory_allocate(size_t size)
{
    if (size == 0 || must_fail()) {
        return NULL;
    }
    return calloc(1, size);
}

void *memory_resize(void *old, size_t size)
{
    if (size == 0 || must_fail()) {
        return NULL;
    }
    return realloc(old, size);
}

char *memory_copy_text(const char *text, size_t length)
{
    if (length == SIZE_MAX) {
        return NULL;
    }
    char *copy = memory_resize(NULL, length + 1);
    if (copy == NULL) {
        return NULL;
    }
    if (length > 0) {
        memcpy(copy, text, length);
    }
    copy[length] = '\0';
    return copy;
}

void memory_release(void *pointer)
{
    free(pointer);
}

void memory_wipe(void *pointer, size_t size)
{
    if (size > 0) {
        explicit_bzero(pointer, size);
    }
}

static void fail_at(unsigned long n, bool only_one)
{
    fail_countdown = n;
    fails_only_one = only_one;
    failures = 0;
}

void memory_fail_after(unsigned long n)
{
    fail_at(n, false);
}

void memory_fail_only(unsigned long n)
{
    fail_at(n, true);
}

unsigned long memory_failures_seen(void)
{
    return failures;
}
