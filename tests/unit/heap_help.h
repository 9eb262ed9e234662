/*
 * tests/unit/heap_help: whether work that is repeated gives back the memory that it takes.
 */
#ifndef TESTS_UNIT_HEAP_HELP_H
#define TESTS_UNIT_HEAP_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>

/* libc keeps small pieces for their next use, some more at times; nothing is kept for each turn. */
#define HEAP_TURNS    2000
#define HEAP_KEEPSAKE 16384

static inline size_t heap_in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static inline void assert_gives_all_back(void (*turn)(void))
{
    turn();
    size_t before = heap_in_use();
    for (int i = 0; i < HEAP_TURNS; i++) {
        turn();
    }
    size_t after = heap_in_use();
    if (after > before + HEAP_KEEPSAKE) {
        fail_msg("%zu bytes more after %d turns", after - before, HEAP_TURNS);
    }
}

#endif
