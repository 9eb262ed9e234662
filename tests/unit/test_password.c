/*
 * Passwords: what is hashed is verified and nothing else is, hashes of other parameters and of
 * other programs included; unknown users cost the same; the host is not overrun.
 */
#include "segment_help.h"

#include <time.h>

#include "auth/password.h"
#include "base/memory.h"
#include "segment/lease.h"

static const struct password_hasher unbounded = {.segment = NULL};
static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 16);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_destroy(&arena);
    return 0;
}

static const char *hash_of(const char *password)
{
    const char *hash = NULL;
    assert_int_equal(password_hash(&unbounded, &arena, slice_of(password), &hash), STATUS_OK);
    return hash;
}

static enum status verify(const char *hash, const char *password)
{
    bool outdated;
    return password_verify(&unbounded, hash, slice_of(password), &outdated);
}

static void a_password_is_verified_by_its_hash_alone(void **state)
{
    (void)state;
    const char *hash = hash_of("correct horse");
    assert_int_equal(strncmp(hash, "$argon2id$v=19$m=19456,t=2,p=1$", 31), 0);
    assert_null(strstr(hash, "horse"));
    bool outdated = true;
    assert_int_equal(password_verify(&unbounded, hash, slice_of("correct horse"), &outdated),
                     STATUS_OK);
    assert_false(outdated);
    assert_int_equal(verify(hash, "correct horsf"), STATUS_DENIED);
    assert_int_equal(verify(hash, "correct hors"), STATUS_DENIED);
    assert_int_equal(verify(hash, "correct horse "), STATUS_DENIED);
    assert_int_equal(verify(hash, ""), STATUS_DENIED);
}

static void the_same_password_has_different_hashes(void **state)
{
    (void)state;
    assert_string_not_equal(hash_of("correct horse"), hash_of("correct horse"));
}

static void a_password_is_all_of_its_bytes(void **state)
{
    (void)state;
    const char *hash;
    bool outdated;
    struct slice with_nul = {.data = "12345678\0abc", .length = 12};
    assert_int_equal(password_hash(&unbounded, &arena, with_nul, &hash), STATUS_OK);
    assert_int_equal(password_verify(&unbounded, hash, with_nul, &outdated), STATUS_OK);
    with_nul.length = 8;
    assert_int_equal(password_verify(&unbounded, hash, with_nul, &outdated), STATUS_DENIED);
    /* Beyond the 72 bytes where bcrypt stops looking. */
    char long_text[PASSWORD_LENGTH_MAXIMUM + 1];
    memset(long_text, 'x', sizeof(long_text));
    struct slice longest = {.data = long_text, .length = PASSWORD_LENGTH_MAXIMUM};
    assert_int_equal(password_hash(&unbounded, &arena, longest, &hash), STATUS_OK);
    assert_int_equal(password_verify(&unbounded, hash, longest, &outdated), STATUS_OK);
    long_text[PASSWORD_LENGTH_MAXIMUM - 1] = 'y';
    assert_int_equal(password_verify(&unbounded, hash, longest, &outdated), STATUS_DENIED);
}

static void lengths_are_bounded(void **state)
{
    (void)state;
    const char *hash;
    bool outdated;
    char text[PASSWORD_LENGTH_MAXIMUM + 1];
    memset(text, 'x', sizeof(text));
    struct slice password = {.data = text, .length = PASSWORD_LENGTH_MINIMUM - 1};
    assert_int_equal(password_hash(&unbounded, &arena, password, &hash), STATUS_INVALID);
    assert_null(hash);
    password.length = sizeof(text);
    assert_int_equal(password_hash(&unbounded, &arena, password, &hash), STATUS_INVALID);
    assert_int_equal(password_verify(&unbounded, hash_of("12345678"), password, &outdated),
                     STATUS_DENIED);
    assert_int_equal(password_verify(&unbounded, NULL, password, &outdated), STATUS_DENIED);
}

/* The first four from the tests of the reference implementation, the others by its command; the
 * password is "password". */
static void hashes_of_other_programs_are_verified(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool outdated;
        const char *hash;
    } cases[] = {
        {"short salt", true,
         "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"},
        {"two lanes, little memory", true,
         "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"},
        {"another type", true,
         "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA"},
        {"from before versions were told", true,
         "$argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ"},
        {"type", true,
         "$argon2i$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"
         "uOCBTyHvYcm1h5pfrT7axFhmwgGyiexbyIbwinhlSB0"},
        {"the third type", true,
         "$argon2d$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"
         "Sh5WFftcpxlEMEqGQmXiZr9r2KAVFHtqlFqnbXGGzVM"},
        {"version", true,
         "$argon2id$v=16$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"
         "uLG3kmx1H6l6EUAwm397RsATjwfuZ6PVmWW2cr+Aw3Q"},
        {"memory", true,
         "$argon2id$v=19$m=19455,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$wwlEsG16N7mqBsX72M+"
         "oQpPry01kruGHzXAvLlEniew"},
        {"iterations", true,
         "$argon2id$v=19$m=19456,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$t9EIvcv8fc8bbZUCIK+/"
         "hMxgOnDsiusOVHOzvsRwf40"},
        {"more than ours", false,
         "$argon2id$v=19$m=20000,t=3,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"
         "rpbUoxqx61L9Ek1207ZIGMqSHUUeREreyIcAqMVUcck"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool outdated = !cases[i].outdated;
        enum status status =
            password_verify(&unbounded, cases[i].hash, slice_of("password"), &outdated);
        if (status != STATUS_OK || outdated != cases[i].outdated) {
            fail_msg("%s: %s, outdated %d", cases[i].why, status_text(status), outdated);
        }
        assert_int_equal(verify(cases[i].hash, "Password"), STATUS_DENIED);
    }
}

#define SALT "c29tZXNhbHRzb21lc2FsdA"
#define HASH "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

static void what_is_no_phc_string_of_argon2_is_invalid(void **state)
{
    (void)state;
    static const char *const hashes[] = {
        "",
        "$",
        "password",
        "$2b$12$abcdefghijklmnopqrstuuGbC3mIkFPOLyPqXc1RzE8cq1m1JXW1C",
        "$argon2$v=19$m=19456,t=2,p=1$" SALT "$" HASH,
        "$argon2ID$v=19$m=19456,t=2,p=1$" SALT "$" HASH,
        "argon2id$v=19$m=19456,t=2,p=1$" SALT "$" HASH,
        "x$argon2id$v=19$m=19456,t=2,p=1$" SALT "$" HASH,
        "$argon2id$v=20$m=19456,t=2,p=1$" SALT "$" HASH,
        "$argon2id$v=17$m=19456,t=2,p=1$" SALT "$" HASH,
        "$argon2id$v=$m=19456,t=2,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=0,t=2,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=-8,t=2,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=7,t=2,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=15,t=2,p=2$" SALT "$" HASH,
        "$argon2id$v=19$m=4294967296,t=2,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=262145,t=1,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=262144,t=3,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=64,t=17,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=19456,t=0,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=19456,t=2,p=0$" SALT "$" HASH,
        "$argon2id$v=19$m=19456,t=2,p=17$" SALT "$" HASH,
        "$argon2id$v=19$t=2,m=19456,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=19456,t=2$" SALT "$" HASH,
        "$argon2id$v=19$m=19456,t=2,p=1,keyid=AAAA$" SALT "$" HASH,
        "$argon2id$v=19$m=1e3,t=2,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m= 64,t=2,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=19456,t=2,p=1$" SALT,
        "$argon2id$v=19$m=19456,t=2,p=1$" SALT "$",
        "$argon2id$v=19$m=19456,t=2,p=1$$" HASH,
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$" HASH,
        "$argon2id$v=19$m=19456,t=2,p=1$" SALT "$AAAA",
        "$argon2id$v=19$m=19456,t=2,p=1$" SALT "$" HASH "=",
        "$argon2id$v=19$m=19456,t=2,p=1$" SALT "$" HASH "$",
        "$argon2id$v=19$m=19456,t=2,p=1$" SALT "$" HASH "\n",
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhb-RzB21lc2FsdA$" HASH,
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdB$" HASH,
        "$argon2id$v=19$m=19456,t=2,p=1$" SALT "$" HASH HASH HASH,
    };
    for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
        if (verify(hashes[i], "password") != STATUS_INVALID) {
            fail_msg("accepted: %s", hashes[i]);
        }
    }
}

static uint64_t cpu_nanoseconds(const char *hash)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 3; i++) {
        struct timespec before;
        struct timespec after;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
        assert_int_equal(verify(hash, "wrong password"), STATUS_DENIED);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
        uint64_t spent = (uint64_t)(after.tv_sec - before.tv_sec) * 1000000000 +
                         (uint64_t)after.tv_nsec - (uint64_t)before.tv_nsec;
        least = spent < least ? spent : least;
    }
    return least;
}

static void an_unknown_user_costs_the_same_work(void **state)
{
    (void)state;
    uint64_t known = cpu_nanoseconds(hash_of("right password"));
    uint64_t unknown = cpu_nanoseconds(NULL);
    assert_in_range(unknown, known / 2, known * 2);
}

/* --- The bound over all processes ----------------------------------------------------------- */

struct scene {
    struct segment *segment;
    _Atomic uint32_t holds;
};

static int hold_place(void *context)
{
    struct scene *scene = context;
    unsigned place;
    if (lease_take_place(scene->segment, "password_hash", 1, 10000, &place) != STATUS_OK) {
        return 1;
    }
    atomic_store(&scene->holds, 1);
    help_sleep_for_ever();
    return 0;
}

static int open_hold_place(void *context)
{
    struct scene *scene = context;
    scene->segment = help_open("other", &lease_segment_region, 1);
    return scene->segment == NULL ? 1 : hold_place(scene);
}

static void hashing_waits_for_a_place_and_gives_up_in_time(void **state)
{
    help_make_directory(state);
    struct scene *scene = help_share(sizeof(*scene));
    struct segment *segment = help_open("auth", &lease_segment_region, 1);
    assert_non_null(segment);
    struct password_hasher hasher = {
        .segment = segment, .concurrency = 1, .timeout_milliseconds = 30};
    const char *hash;
    bool outdated;
    pid_t other = help_fork(open_hold_place, scene);
    help_await(&scene->holds, 1);
    assert_int_equal(password_hash(&hasher, &arena, slice_of("12345678"), &hash), STATUS_BUSY);
    assert_int_equal(password_verify(&hasher, NULL, slice_of("12345678"), &outdated), STATUS_BUSY);
    /* The place of a dead process is free. */
    help_kill(other);
    hasher.timeout_milliseconds = 10000;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(password_hash(&hasher, &arena, slice_of("12345678"), &hash), STATUS_OK);
        assert_int_equal(password_verify(&hasher, hash, slice_of("12345678"), &outdated),
                         STATUS_OK);
        assert_int_equal(password_verify(&hasher, hash, slice_of("12345679"), &outdated),
                         STATUS_DENIED);
    }
    segment_close(segment);
    munmap(scene, sizeof(*scene));
    help_remove_directory(state);
}

static void a_spent_arena_is_no_memory(void **state)
{
    (void)state;
    struct arena tiny;
    const char *hash;
    arena_init(&tiny, 40);
    assert_int_equal(password_hash(&unbounded, &tiny, slice_of("12345678"), &hash),
                     STATUS_NO_MEMORY);
    assert_null(hash);
    arena_destroy(&tiny);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        TEST(a_password_is_verified_by_its_hash_alone),
        TEST(the_same_password_has_different_hashes),
        TEST(a_password_is_all_of_its_bytes),
        TEST(lengths_are_bounded),
        TEST(hashes_of_other_programs_are_verified),
        TEST(what_is_no_phc_string_of_argon2_is_invalid),
        TEST(an_unknown_user_costs_the_same_work),
        TEST(hashing_waits_for_a_place_and_gives_up_in_time),
        TEST(a_spent_arena_is_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
