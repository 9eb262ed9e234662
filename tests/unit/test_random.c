/*
 * Tests of base/random: form and fairness of what is made of random bytes, and that no two
 * threads or processes get the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/random.h"

#define UUIDS 1000

static void check_form(const char *uuid)
{
    assert_int_equal(strlen(uuid), 36);
    for (size_t i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            assert_int_equal(uuid[i], '-');
        } else {
            assert_non_null(strchr("0123456789abcdef", uuid[i]));
        }
    }
    assert_int_equal(uuid[14], '4');
    assert_non_null(strchr("89ab", uuid[19]));
}

static void uuids_have_the_form_of_version_4(void **state)
{
    (void)state;
    for (int i = 0; i < UUIDS; i++) {
        char uuid[RANDOM_UUID_SIZE];
        random_uuid(uuid);
        check_form(uuid);
    }
}

static void *make_uuids(void *out)
{
    char(*uuids)[RANDOM_UUID_SIZE] = out;
    for (int i = 0; i < UUIDS; i++) {
        random_uuid(uuids[i]);
    }
    return NULL;
}

static void uuids_of_two_threads_are_all_different(void **state)
{
    (void)state;
    static char uuids[2 * UUIDS][RANDOM_UUID_SIZE];
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, make_uuids, uuids), 0);
    make_uuids(uuids + UUIDS);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (int a = 0; a < 2 * UUIDS; a++) {
        for (int b = 0; b < a; b++) {
            if (strcmp(uuids[a], uuids[b]) == 0) {
                fail_msg("%s twice", uuids[a]);
            }
        }
    }
}

static void a_forked_child_does_not_repeat_its_parent(void **state)
{
    (void)state;
    char before[RANDOM_UUID_SIZE];
    random_uuid(before); /* fills the pool, which the child inherits */
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    char ours[RANDOM_UUID_SIZE];
    random_uuid(ours);
    if (child == 0) {
        ssize_t written = write(ends[1], ours, sizeof(ours));
        _exit(written == sizeof(ours) ? 0 : 1);
    }
    char theirs[RANDOM_UUID_SIZE];
    assert_int_equal(read(ends[0], theirs, sizeof(theirs)), sizeof(theirs));
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ends[0]);
    close(ends[1]);
    check_form(theirs);
    assert_string_not_equal(ours, theirs);
}

static void bytes_are_filled_to_the_end_and_not_beyond(void **state)
{
    (void)state;
    /* That 16 given places stay 0 in 64 fills happens once in 2^512 runs. */
    unsigned char seen[1000] = {0};
    for (int i = 0; i < 64; i++) {
        unsigned char bytes[1001] = {0};
        random_bytes(bytes, 1000);
        assert_int_equal(bytes[1000], 0);
        for (size_t at = 0; at < 1000; at++) {
            seen[at] |= bytes[at];
        }
    }
    for (size_t at = 0; at < 1000; at++) {
        assert_int_not_equal(seen[at], 0);
    }
    random_bytes(NULL, 0);
}

static void numbers_stay_below_the_bound_and_meet_all_of_it(void **state)
{
    (void)state;
    int seen[7] = {0};
    for (int i = 0; i < 7000; i++) {
        uint64_t number = random_below(7);
        assert_true(number < 7);
        seen[number]++;
    }
    for (int i = 0; i < 7; i++) {
        /* 1000 expected; ten standard deviations are about 290. */
        assert_in_range(seen[i], 700, 1300);
    }
    assert_true(random_below(1) == 0);
    assert_true(random_below(UINT64_MAX) < UINT64_MAX);
}

static void a_bound_above_half_the_range_is_fair_too(void **state)
{
    (void)state;
    /* Without rejection, the lowest third of the numbers would come twice as often as the others. */
    uint64_t bound = UINT64_C(3) << 62;
    int low = 0;
    for (int i = 0; i < 9000; i++) {
        low += random_below(bound) < bound / 3;
    }
    assert_in_range(low, 2550, 3450);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uuids_have_the_form_of_version_4),
        cmocka_unit_test(uuids_of_two_threads_are_all_different),
        cmocka_unit_test(a_forked_child_does_not_repeat_its_parent),
        cmocka_unit_test(bytes_are_filled_to_the_end_and_not_beyond),
        cmocka_unit_test(numbers_stay_below_the_bound_and_meet_all_of_it),
        cmocka_unit_test(a_bound_above_half_the_range_is_fair_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
