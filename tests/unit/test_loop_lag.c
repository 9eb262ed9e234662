/*
 * Which turns of a loop are told: each long one, and of short ones the longest of a second.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "transport/loop_lag.h"

#define MILLISECOND UINT64_C(1000000)

static int told;
static uint64_t last;

static void on_turn(enum transport_loop loop, uint64_t nanoseconds, void *context)
{
    assert_int_equal(loop, TRANSPORT_PUMP_LOOP);
    assert_ptr_equal(context, &told);
    told++;
    last = nanoseconds;
}

static struct loop_lag just_told(void)
{
    told = 0;
    return (struct loop_lag){.loop = TRANSPORT_PUMP_LOOP,
                             .turned = on_turn,
                             .context = &told,
                             .told_at = clock_monotonic_nanoseconds()};
}

static void note(struct loop_lag *lag, uint64_t milliseconds)
{
    loop_lag_note(lag, clock_monotonic_nanoseconds() - milliseconds * MILLISECOND);
}

static void each_long_turn_is_told_at_once(void **state)
{
    (void)state;
    struct loop_lag lag = just_told();
    for (int i = 1; i <= 3; i++) {
        note(&lag, 50);
        assert_int_equal(told, i);
        assert_in_range(last / MILLISECOND, 50, 1000);
    }
}

static void of_short_turns_the_longest_of_a_second_is_told(void **state)
{
    (void)state;
    struct loop_lag lag = just_told();
    lag.longest = 7 * MILLISECOND;
    note(&lag, 0);
    assert_int_equal(told, 0);
    lag.told_at -= 1000 * MILLISECOND;
    note(&lag, 0);
    assert_int_equal(told, 1);
    assert_in_range(last, 7 * MILLISECOND, 9 * MILLISECOND);
    note(&lag, 0);
    assert_int_equal(told, 1);
    assert_true(lag.longest < 7 * MILLISECOND);
}

static void a_loop_that_nobody_asks_about_tells_nothing(void **state)
{
    (void)state;
    struct loop_lag lag = just_told();
    lag.turned = NULL;
    note(&lag, 50);
    assert_int_equal(told, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_long_turn_is_told_at_once),
        cmocka_unit_test(of_short_turns_the_longest_of_a_second_is_told),
        cmocka_unit_test(a_loop_that_nobody_asks_about_tells_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
