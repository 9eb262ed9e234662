/*
 * Tests of base/arena and of the failure switch in base/memory that the other torture tests use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdalign.h>
#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/memory.h"
#include "heap_help.h"

static void memory_of_size_zero_is_refused(void **state)
{
    (void)state;
    assert_null(memory_allocate(0));
    assert_null(memory_resize(NULL, 0));
    memory_release(NULL);
}

static void allocated_memory_is_zeroed_and_resizing_keeps_it(void **state)
{
    (void)state;
    char *memory = memory_allocate(64);
    assert_non_null(memory);
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(memory[i], 0);
    }
    memory[63] = 'x';
    char *larger = memory_resize(memory, 100000);
    assert_non_null(larger);
    assert_int_equal(larger[63], 'x');
    memory_release(larger);
}

static void text_copies_end_with_a_nul(void **state)
{
    (void)state;
    char *copy = memory_copy_text("hello world", 5);
    assert_non_null(copy);
    assert_string_equal(copy, "hello");
    memory_release(copy);
    copy = memory_copy_text(NULL, 0);
    assert_non_null(copy);
    assert_string_equal(copy, "");
    memory_release(copy);
    assert_null(memory_copy_text("", SIZE_MAX));
}

static void wiped_memory_is_zero(void **state)
{
    (void)state;
    char secret[] = "password";
    memory_wipe(secret, sizeof(secret));
    for (size_t i = 0; i < sizeof(secret); i++) {
        assert_int_equal(secret[i], 0);
    }
    memory_wipe(NULL, 0);
}

static void the_switch_fails_the_nth_allocation_and_all_later_ones_or_that_alone(void **state)
{
    (void)state;
    memory_fail_after(2);
    void *first = memory_allocate(1);
    assert_non_null(first);
    assert_null(memory_allocate(1));
    assert_null(memory_resize(first, 100));
    assert_null(memory_copy_text("a", 1));
    assert_int_equal(memory_failures_seen(), 3);
    memory_fail_only(2);
    void *last = memory_allocate(1);
    assert_non_null(last);
    assert_null(memory_allocate(1));
    memory_release(last);
    last = memory_allocate(1);
    assert_non_null(last);
    assert_int_equal(memory_failures_seen(), 1);
    memory_release(last);
    memory_fail_after(0);
    assert_int_equal(memory_failures_seen(), 0);
    void *second = memory_allocate(1);
    assert_non_null(second);
    memory_release(first);
    memory_release(second);
}

static void arena_memory_is_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    char *before = NULL;
    size_t size_before = 0;
    for (size_t size = 1; size < 600; size++) {
        char *piece = arena_allocate(&arena, size);
        assert_non_null(piece);
        assert_int_equal((uintptr_t)piece % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(piece[i], 0);
        }
        memset(piece, 0xff, size);
        for (size_t i = 0; i < size_before; i++) {
            assert_int_equal((unsigned char)before[i], 0xff);
        }
        before = piece;
        size_before = size;
    }
    arena_destroy(&arena);
}

static void arena_memory_is_zeroed_again_after_a_reset(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++) {
            unsigned char *piece = arena_allocate(&arena, 500);
            assert_non_null(piece);
            for (size_t byte = 0; byte < 500; byte++) {
                assert_int_equal(piece[byte], 0);
            }
            memset(piece, 0xff, 500);
        }
        arena_reset(&arena);
        assert_int_equal(arena.used, 0);
    }
    arena_destroy(&arena);
}

static void the_whole_maximum_can_be_used_and_not_a_byte_more(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 100);
    assert_non_null(arena_allocate(&arena, 100));
    assert_null(arena_allocate(&arena, 1));
    arena_reset(&arena);
    assert_null(arena_allocate(&arena, 101));
    assert_null(arena_allocate(&arena, SIZE_MAX));
    assert_non_null(arena_allocate(&arena, 100));
    arena_destroy(&arena);

    arena_init(&arena, SIZE_MAX);
    assert_null(arena_allocate(&arena, SIZE_MAX));
    assert_null(arena_copy(&arena, "", SIZE_MAX));
    arena_destroy(&arena);
}

static void many_small_pieces_cannot_exceed_the_maximum(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 100000);
    size_t count = 0;
    while (arena_allocate(&arena, 1) != NULL) {
        count++;
    }
    assert_true(arena.used <= 100000);
    /* The room between the pieces counts too. */
    assert_int_equal(count, 100000 / alignof(max_align_t));
    arena_destroy(&arena);
}

static void a_piece_of_size_zero_has_an_address(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 16);
    assert_non_null(arena_allocate(&arena, 0));
    assert_non_null(arena_allocate(&arena, 16));
    arena_destroy(&arena);
}

static void a_large_piece_does_not_waste_the_block_in_use(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    char *first = arena_allocate(&arena, 16);
    assert_non_null(arena_allocate(&arena, 100000));
    char *second = arena_allocate(&arena, 16);
    assert_ptr_equal(second, first + 16);
    arena_destroy(&arena);
}

static void reset_keeps_one_block_for_the_next_request(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    char *first = arena_allocate(&arena, 100);
    assert_non_null(first);
    assert_non_null(arena_allocate(&arena, 100000));
    arena_reset(&arena);
    /* No allocation is possible, so the memory must be there. */
    memory_fail_after(1);
    assert_non_null(arena_allocate(&arena, 100));
    assert_int_equal(memory_failures_seen(), 0);
    memory_fail_after(0);
    arena_destroy(&arena);
}

static void destroy_is_idempotent_and_leaves_a_usable_arena(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1000);
    arena_destroy(&arena);
    assert_non_null(arena_allocate(&arena, 1000));
    arena_destroy(&arena);
    arena_destroy(&arena);
    arena_reset(&arena);
    assert_non_null(arena_allocate(&arena, 1000));
    arena_destroy(&arena);
}

static void formatted_text_may_be_of_any_length(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 10000);
    assert_string_equal(arena_format(&arena, "%s", ""), "");
    assert_string_equal(arena_format(&arena, "%s=%d", "a", 1), "a=1");
    static const int widths[] = {254, 255, 256, 257, 5000};
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        char *text = arena_format(&arena, "%*d", widths[i], 7);
        assert_non_null(text);
        assert_int_equal(strlen(text), widths[i]);
        assert_int_equal(text[widths[i] - 1], '7');
    }
    assert_null(arena_format(&arena, "%*d", 10000, 7));
    arena_destroy(&arena);
}

static void copies_end_with_a_nul(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 100);
    assert_string_equal(arena_copy(&arena, "hello world", 5), "hello");
    assert_string_equal(arena_copy(&arena, NULL, 0), "");
    arena_destroy(&arena);
}

/* Allocates in every way, in several blocks; false as soon as something fails. */
static bool use(struct arena *arena)
{
    for (int i = 0; i < 300; i++) {
        if (arena_allocate(arena, 700) == NULL) {
            return false;
        }
    }
    return arena_allocate(arena, 200000) != NULL && arena_copy(arena, "text", 4) != NULL &&
           arena_format(arena, "%5000d", 1) != NULL;
}

static void every_failed_allocation_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    unsigned long n = 0;
    bool done;
    do {
        struct arena arena;
        arena_init(&arena, 1 << 20);
        memory_fail_after(++n);
        done = use(&arena);
        assert_int_equal(done, memory_failures_seen() == 0);
        memory_fail_after(0);
        /* After a failure the arena still works. */
        assert_non_null(arena_allocate(&arena, 10));
        arena_destroy(&arena);
    } while (!done);
    assert_true(n > 5);
}

static void fill_reset_and_destroy(void)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) {
            assert_non_null(arena_allocate(&arena, 3000));
        }
        assert_non_null(arena_allocate(&arena, 9000));
        arena_reset(&arena);
    }
    assert_non_null(arena_allocate(&arena, 9000));
    assert_non_null(arena_allocate(&arena, 3000));
    arena_destroy(&arena);
}

static void what_an_arena_took_is_given_back(void **state)
{
    (void)state;
    assert_gives_all_back(fill_reset_and_destroy);
}

/* Large requests are answered out of large blocks: fewer allocations for as many pieces. */
static void blocks_grow_with_what_is_asked_for(void **state)
{
    (void)state;
    struct arena arena;
    unsigned long first = 0;
    arena_init(&arena, 1 << 20);
    for (int i = 0; i < 256; i++) {
        memory_fail_after(1);
        bool has_room = arena_allocate(&arena, 1008) != NULL;
        unsigned long failures = memory_failures_seen();
        memory_fail_after(0);
        assert_true(has_room == (failures == 0));
        if (!has_room) {
            first += i < 64;
            assert_non_null(arena_allocate(&arena, 1008));
        }
        if (i == 128) {
            assert_true(first >= 15);
            first = 0;
        }
        first += i > 128 && !has_room;
    }
    assert_true(first <= 3);
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_of_size_zero_is_refused),
        cmocka_unit_test(allocated_memory_is_zeroed_and_resizing_keeps_it),
        cmocka_unit_test(text_copies_end_with_a_nul),
        cmocka_unit_test(wiped_memory_is_zero),
        cmocka_unit_test(the_switch_fails_the_nth_allocation_and_all_later_ones_or_that_alone),
        cmocka_unit_test(arena_memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(arena_memory_is_zeroed_again_after_a_reset),
        cmocka_unit_test(the_whole_maximum_can_be_used_and_not_a_byte_more),
        cmocka_unit_test(many_small_pieces_cannot_exceed_the_maximum),
        cmocka_unit_test(a_piece_of_size_zero_has_an_address),
        cmocka_unit_test(a_large_piece_does_not_waste_the_block_in_use),
        cmocka_unit_test(reset_keeps_one_block_for_the_next_request),
        cmocka_unit_test(destroy_is_idempotent_and_leaves_a_usable_arena),
        cmocka_unit_test(formatted_text_may_be_of_any_length),
        cmocka_unit_test(copies_end_with_a_nul),
        cmocka_unit_test(every_failed_allocation_is_reported_and_leaks_nothing),
        cmocka_unit_test(what_an_arena_took_is_given_back),
        cmocka_unit_test(blocks_grow_with_what_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
