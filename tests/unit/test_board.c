/*
 * The board: readers see a whole entry or none, and never wait.
 */
#include "segment_help.h"

#include "segment/board.h"

static struct segment *open_board(void)
{
    struct segment *segment = help_open("board", &board_segment_region, 1);
    assert_non_null(segment);
    return segment;
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    struct segment *segment = open_board();
    assert_int_equal(board_write(segment, "service/redis", 1, 12.5, "PONG"), STATUS_OK);
    struct board_entry entry;
    assert_true(board_read(segment, "service/redis", &entry));
    assert_string_equal(entry.name, "service/redis");
    assert_string_equal(entry.text, "PONG");
    assert_int_equal(entry.value, 1);
    assert_true(entry.number == 12.5);
    assert_true(llabs(entry.wall_milliseconds - clock_wall_milliseconds()) < 10000);
    assert_true(clock_boot_nanoseconds() - entry.boot_nanoseconds < UINT64_C(10000000000));
    assert_int_equal(board_write(segment, "service/redis", -7, -1.0, NULL), STATUS_OK);
    assert_true(board_read(segment, "service/redis", &entry));
    assert_int_equal(entry.value, -7);
    assert_string_equal(entry.text, "");
    segment_close(segment);
}

static void absent_entry_is_absent(void **state)
{
    (void)state;
    struct segment *segment = open_board();
    struct board_entry entry;
    assert_false(board_read(segment, "nothing", &entry));
    assert_false(board_read(segment, "", &entry));
    assert_int_equal(board_write(segment, "something", 1, 0, ""), STATUS_OK);
    assert_false(board_read(segment, "some", &entry));
    assert_false(board_read(segment, "something else", &entry));
    segment_close(segment);
}

static void listing_takes_a_prefix_and_keeps_table_order(void **state)
{
    (void)state;
    struct segment *segment = open_board();
    static const char *const names[] = {"service/b", "provider/x", "service/a", "service/c"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(board_write(segment, names[i], i, 0, ""), STATUS_OK);
    }
    struct board_entry entries[4];
    assert_int_equal(board_list(segment, "service/", entries, 4), 3);
    assert_string_equal(entries[0].name, "service/b");
    assert_string_equal(entries[1].name, "service/a");
    assert_int_equal(entries[2].value, 3);
    assert_int_equal(board_list(segment, "", entries, 4), 4);
    assert_int_equal(board_list(segment, "service/", entries, 2), 2);
    assert_int_equal(board_list(segment, "z", entries, 4), 0);
    segment_close(segment);
}

static void names_are_bounded_and_texts_are_cut_between_characters(void **state)
{
    (void)state;
    struct segment *segment = open_board();
    char name[80];
    memset(name, 'n', sizeof name);
    name[64] = '\0';
    assert_int_equal(board_write(segment, name, 1, 0, ""), STATUS_TOO_LARGE);
    name[63] = '\0';
    assert_int_equal(board_write(segment, name, 1, 0, ""), STATUS_OK);
    assert_int_equal(board_write(segment, "", 1, 0, ""), STATUS_INVALID);
    /* 158 bytes, then a character of three bytes that does not fit any more */
    char text[200];
    memset(text, 't', 158);
    memcpy(text + 158, "\xe2\x82\xac more", 9);
    assert_int_equal(board_write(segment, "cut", 1, 0, text), STATUS_OK);
    struct board_entry entry;
    assert_true(board_read(segment, "cut", &entry));
    assert_int_equal(strlen(entry.text), 158);
    assert_true(board_read(segment, name, &entry));
    assert_string_equal(entry.name, name);
    /* One that just fits, one that does not, and one that no character begins in. */
    memset(text, 't', sizeof text);
    text[BOARD_TEXT_SIZE] = '\0';
    assert_int_equal(board_write(segment, "cut", 1, 0, text), STATUS_OK);
    assert_true(board_read(segment, "cut", &entry));
    assert_int_equal(strlen(entry.text), BOARD_TEXT_SIZE - 1);
    memcpy(text + BOARD_TEXT_SIZE - 3, "\xc3\xa4", 3);
    assert_int_equal(board_write(segment, "cut", 1, 0, text), STATUS_OK);
    assert_true(board_read(segment, "cut", &entry));
    assert_string_equal(entry.text, text);
    memset(text, '\x80', BOARD_TEXT_SIZE);
    assert_int_equal(board_write(segment, "cut", 1, 0, text), STATUS_OK);
    assert_true(board_read(segment, "cut", &entry));
    assert_string_equal(entry.text, "");
    segment_close(segment);
}

static void full_table_refuses_new_names_and_still_takes_old_ones(void **state)
{
    (void)state;
    struct segment *segment = open_board();
    char name[16];
    for (int i = 0; i < 256; i++) {
        snprintf(name, sizeof name, "entry %d", i);
        assert_int_equal(board_write(segment, name, i, 0, ""), STATUS_OK);
    }
    assert_int_equal(board_write(segment, "one more", 1, 0, ""), STATUS_TOO_LARGE);
    assert_int_equal(board_write(segment, "entry 255", 1000, 0, ""), STATUS_OK);
    struct board_entry entry;
    assert_true(board_read(segment, "entry 255", &entry));
    assert_int_equal(entry.value, 1000);
    segment_close(segment);
}

/* --- several processes --------------------------------------------------------------------- */

struct scene {
    struct segment *segment;
    _Atomic uint32_t stop;
    _Atomic uint32_t written;
};

/* Value, number and text all say the same, so a half-written entry shows. */
static enum status write_same(struct segment *segment, int64_t value)
{
    char text[BOARD_TEXT_SIZE];
    memset(text, (int)('a' + value % 26), sizeof text - 1);
    text[sizeof text - 1] = '\0';
    return board_write(segment, "shared", value, (double)value, text);
}

static bool says_the_same(const struct board_entry *entry)
{
    if (entry->number != (double)entry->value) {
        return false;
    }
    for (size_t i = 0; i < BOARD_TEXT_SIZE - 1; i++) {
        if (entry->text[i] != (char)('a' + entry->value % 26)) {
            return false;
        }
    }
    return true;
}

static int write_for_ever(void *context)
{
    struct scene *scene = context;
    for (int64_t i = 0; atomic_load(&scene->stop) == 0; i++) {
        if (write_same(scene->segment, i) != STATUS_OK) {
            return 1;
        }
        atomic_fetch_add(&scene->written, 1);
    }
    return 0;
}

static void readers_never_see_half_an_entry(void **state)
{
    (void)state;
    struct scene *scene = help_share(sizeof *scene);
    scene->segment = open_board();
    pid_t writers[2] = {help_fork(write_for_ever, scene), help_fork(write_for_ever, scene)};
    help_await(&scene->written, 2);
    int seen = 0;
    for (int i = 0; i < 100000; i++) {
        struct board_entry entry;
        if (board_read(scene->segment, "shared", &entry)) {
            assert_true(says_the_same(&entry));
            seen++;
        }
    }
    assert_true(seen > 1000);
    atomic_store(&scene->stop, 1);
    assert_int_equal(help_wait(writers[0]), 0);
    assert_int_equal(help_wait(writers[1]), 0);
    segment_close(scene->segment);
    munmap(scene, sizeof *scene);
}

static void killed_writers_leave_whole_entries_or_none(void **state)
{
    (void)state;
    struct scene *scene = help_share(sizeof *scene);
    scene->segment = open_board();
    for (int i = 0; i < 150; i++) {
        uint32_t before = atomic_load(&scene->written);
        pid_t writer = help_fork(write_for_ever, scene);
        help_await(&scene->written, before + 1 + (uint32_t)random_below(200));
        help_kill(writer);
        struct board_entry entry;
        if (board_read(scene->segment, "shared", &entry)) {
            assert_true(says_the_same(&entry));
        }
        assert_int_equal(write_same(scene->segment, i), STATUS_OK);
        assert_true(board_read(scene->segment, "shared", &entry));
        assert_int_equal(entry.value, i);
        assert_true(says_the_same(&entry));
    }
    segment_close(scene->segment);
    munmap(scene, sizeof *scene);
}

static void entry_of_a_writer_killed_half_way_is_absent_until_written_again(void **state)
{
    (void)state;
    struct segment *segment = open_board();
    assert_int_equal(board_write(segment, "x", 5, 0, "whole"), STATUS_OK);
    /* What the killed writer leaves: an odd sequence number behind the name. */
    char *region = segment_find(segment, board_segment_region.name);
    _Atomic uint64_t *sequence = NULL;
    for (size_t i = 0; i < 1024 && sequence == NULL; i += 8) {
        if (memcmp(region + i, "x\0\0\0\0\0\0", 8) == 0) {
            sequence = (_Atomic uint64_t *)(void *)(region + i + BOARD_NAME_SIZE);
        }
    }
    assert_non_null(sequence);
    assert_int_equal(atomic_fetch_add(sequence, 1) % 2, 0);
    struct board_entry entry;
    assert_false(board_read(segment, "x", &entry));
    assert_int_equal(board_list(segment, "", &entry, 1), 0);
    assert_int_equal(board_write(segment, "x", 6, 0, "again"), STATUS_OK);
    assert_true(board_read(segment, "x", &entry));
    assert_int_equal(entry.value, 6);
    segment_close(segment);
}

/* The first slot follows the lock and the count, in one line of the cache. */
static char *first_name(struct segment *segment)
{
    return (char *)segment_find(segment, board_segment_region.name) + 64;
}

static void name_of_a_writer_killed_half_way_is_overwritten(void **state)
{
    (void)state;
    struct segment *segment = open_board();
    struct board_entry entries[2];
    snprintf(first_name(segment), BOARD_NAME_SIZE, "half a name that is longer");
    assert_false(board_read(segment, "half a name that is longer", &entries[0]));
    assert_int_equal(board_list(segment, "", entries, 2), 0);
    assert_int_equal(board_write(segment, "half", 1, 0, ""), STATUS_OK);
    assert_string_equal(first_name(segment), "half");
    assert_true(board_read(segment, "half", &entries[0]));
    assert_int_equal(board_list(segment, "half", entries, 2), 1);
    segment_close(segment);
}

static void name_of_a_killed_writer_that_is_written_again_is_listed(void **state)
{
    (void)state;
    struct segment *segment = open_board();
    struct board_entry entries[2];
    snprintf(first_name(segment), BOARD_NAME_SIZE, "again");
    assert_int_equal(board_write(segment, "again", 1, 0, ""), STATUS_OK);
    assert_int_equal(board_list(segment, "", entries, 2), 1);
    assert_string_equal(entries[0].name, "again");
    segment_close(segment);
}

#define BOARD_TEST(name)                                                                           \
    cmocka_unit_test_setup_teardown(name, help_make_directory, help_remove_directory)

int main(void)
{
    alarm(HELP_SECONDS_PER_BINARY);
    const struct CMUnitTest tests[] = {
        BOARD_TEST(what_was_written_is_read),
        BOARD_TEST(absent_entry_is_absent),
        BOARD_TEST(listing_takes_a_prefix_and_keeps_table_order),
        BOARD_TEST(names_are_bounded_and_texts_are_cut_between_characters),
        BOARD_TEST(full_table_refuses_new_names_and_still_takes_old_ones),
        BOARD_TEST(readers_never_see_half_an_entry),
        BOARD_TEST(killed_writers_leave_whole_entries_or_none),
        BOARD_TEST(entry_of_a_writer_killed_half_way_is_absent_until_written_again),
        BOARD_TEST(name_of_a_writer_killed_half_way_is_overwritten),
        BOARD_TEST(name_of_a_killed_writer_that_is_written_again_is_listed),
    };
    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
