/*
 * Where request bodies are kept while they arrive: in memory or in files without a name, and how
 * much of them at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "transport/body_room.h"

#define DISK ((uint64_t)8 << 20)

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/quintet-body-XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

/* Fails when a file is left in it. */
static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

static size_t count_descriptors(void)
{
    DIR *list = opendir("/proc/self/fd");
    size_t count = 0;
    assert_non_null(list);
    while (readdir(list) != NULL) {
        count++;
    }
    closedir(list);
    return count;
}

static void expect(struct body *body, const char *text)
{
    struct slice whole;
    assert_int_equal(body_finish(body, &whole), STATUS_OK);
    assert_int_equal(whole.length, strlen(text));
    assert_string_equal(whole.data, text); /* a NUL follows it */
}

/* --- One body -------------------------------------------------------------------------------- */

static void body_in_memory_is_one_piece_with_a_nul_behind_it(void **state)
{
    (void)state;
    struct body body;
    body_init(&body);
    expect(&body, "");
    assert_int_equal(body_append(&body, slice_of("one ")), STATUS_OK);
    assert_int_equal(body_append(&body, slice_of("piece")), STATUS_OK);
    assert_int_equal(body.length, 9);
    assert_true(body.file < 0);
    expect(&body, "one piece");
    body_reset(&body, 0);
    expect(&body, "");
    body_reset(&body, 0);
}

static void body_in_a_file_is_the_same_and_begins_with_what_came_before(void **state)
{
    (void)state;
    struct body body;
    struct stat file;
    body_init(&body);
    size_t before = count_descriptors();
    assert_int_equal(body_append(&body, slice_of("from memory, ")), STATUS_OK);
    assert_int_equal(body_use_file(&body, directory, 100000), STATUS_OK);
    assert_int_equal(body.memory.capacity, 0);
    assert_int_equal(fcntl(body.file, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fstat(body.file, &file), 0);
    assert_int_equal(file.st_nlink, 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    /* Room for all of it and the NUL is there already. */
    assert_int_equal(file.st_size, 100001);
    assert_true(file.st_blocks * 512 >= 100000);
    assert_int_equal(body_append(&body, slice_of("from ")), STATUS_OK);
    assert_int_equal(body_append(&body, slice_of("a file")), STATUS_OK);
    assert_int_equal(body.length, 24);
    expect(&body, "from memory, from a file");
    expect(&body, "from memory, from a file");
    body_reset(&body, 0);
    assert_int_equal(body.file, -1);
    assert_null(body.map);
    assert_int_equal(body.length, 0);
    assert_int_equal(count_descriptors(), before);
    body_reset(&body, 0);
}

static void body_that_fills_its_file_to_the_last_byte_has_its_nul(void **state)
{
    (void)state;
    struct body body;
    struct slice whole;
    static char page[4096];
    memset(page, 'p', sizeof(page));
    body_init(&body);
    assert_int_equal(body_use_file(&body, directory, sizeof(page)), STATUS_OK);
    assert_int_equal(body_append(&body, (struct slice){page, sizeof(page)}), STATUS_OK);
    assert_int_equal(body_finish(&body, &whole), STATUS_OK);
    assert_int_equal(whole.length, sizeof(page));
    assert_memory_equal(whole.data, page, sizeof(page));
    assert_int_equal(whole.data[sizeof(page)], '\0');
    body_reset(&body, 0);
    /* No page of the map stays. */
    for (size_t i = 0; i < 2; i++) {
        char *mapped = (char *)(uintptr_t)whole.data + i * sizeof(page);
        assert_int_equal(msync(mapped, sizeof(page), MS_ASYNC), -1);
    }
}

static void reset_body_keeps_as_much_memory_as_it_may(void **state)
{
    (void)state;
    struct body body;
    body_init(&body);
    assert_int_equal(body_append(&body, slice_of("text")), STATUS_OK);
    size_t capacity = body.memory.capacity;
    body_reset(&body, capacity);
    assert_int_equal(body.memory.capacity, capacity);
    assert_int_equal(body.memory.length, 0);
    assert_int_equal(body_append(&body, slice_of("text")), STATUS_OK);
    body_reset(&body, capacity - 1);
    assert_int_equal(body.memory.capacity, 0);
}

static void body_without_a_place_for_its_file_stays_as_it_was(void **state)
{
    (void)state;
    struct body body;
    char missing[80];
    static char overlong[600];
    snprintf(missing, sizeof(missing), "%s/missing", directory);
    memset(overlong, 'x', sizeof(overlong) - 1);
    body_init(&body);
    assert_int_equal(body_append(&body, slice_of("kept")), STATUS_OK);
    size_t before = count_descriptors();
    assert_int_equal(body_use_file(&body, missing, 10), STATUS_UNAVAILABLE);
    assert_int_equal(body_use_file(&body, overlong, 10), STATUS_UNAVAILABLE);
    assert_int_equal(count_descriptors(), before);
    assert_int_equal(body.file, -1);
    expect(&body, "kept");
    body_reset(&body, 0);
}

static void body_beyond_what_files_may_have_is_unavailable(void **state)
{
    (void)state;
    struct body body;
    struct body begun;
    struct rlimit before;
    body_init(&body);
    body_init(&begun);
    size_t descriptors = count_descriptors();
    assert_int_equal(body_use_file(&begun, directory, 4000), STATUS_OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit narrow = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &narrow), 0);
    enum status status = body_use_file(&body, directory, 4096);
    static char much[5000];
    enum status appended = body_append(&begun, (struct slice){much, sizeof(much)});
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, STATUS_UNAVAILABLE);
    assert_int_equal(body.file, -1);
    assert_int_equal(appended, STATUS_UNAVAILABLE);
    assert_int_equal(begun.length, 0);
    body_reset(&begun, 0);
    assert_int_equal(count_descriptors(), descriptors);
}

static void body_without_memory_is_told_so(void **state)
{
    (void)state;
    struct body body;
    body_init(&body);
    memory_fail_after(1);
    enum status status = body_append(&body, slice_of("text"));
    memory_fail_after(0);
    assert_int_equal(status, STATUS_NO_MEMORY);
    assert_int_equal(body.length, 0);
    body_reset(&body, 0);
}

/* --- Room for all ------------------------------------------------------------------------------ */

struct place {
    struct body_claim claim;
    struct body body;
};

static enum status claim(struct body_room *room, struct place *place, uint64_t owner, size_t size)
{
    body_init(&place->body);
    return body_room_claim(room, &place->claim, owner, size, &place->body);
}

static void leave(struct body_room *room, struct place *place)
{
    body_room_leave(room, &place->claim);
    body_reset(&place->body, 0);
}

static void assert_empty(const struct body_room *room)
{
    assert_int_equal(room->in_memory, 0);
    assert_int_equal(room->on_disk, 0);
    assert_null(room->claims);
}

static void bodies_of_a_megabyte_are_in_memory_and_larger_ones_in_files(void **state)
{
    (void)state;
    struct body_room room;
    struct place places[3];
    body_room_init(&room, directory, DISK);
    assert_int_equal(claim(&room, &places[0], 0, 0), STATUS_OK);
    assert_int_equal(claim(&room, &places[1], 0, BODY_MEMORY_MAXIMUM), STATUS_OK);
    assert_int_equal(claim(&room, &places[2], 0, BODY_MEMORY_MAXIMUM + 1), STATUS_OK);
    assert_true(places[0].body.file < 0 && places[1].body.file < 0 && places[2].body.file >= 0);
    assert_int_equal(room.in_memory, BODY_MEMORY_MAXIMUM + 1); /* an empty one counts as a byte */
    assert_int_equal(room.on_disk, BODY_MEMORY_MAXIMUM + 1);
    /* In any order, and twice. */
    leave(&room, &places[1]);
    leave(&room, &places[1]);
    assert_int_equal(room.in_memory, 1);
    leave(&room, &places[2]);
    assert_int_equal(room.on_disk, 0);
    leave(&room, &places[0]);
    assert_empty(&room);
    body_room_release(&room);
}

static void bodies_beyond_the_memory_of_all_go_to_files(void **state)
{
    (void)state;
    enum { IN_MEMORY = BODY_ROOM_MEMORY / BODY_MEMORY_MAXIMUM };
    struct body_room room;
    static struct place places[IN_MEMORY];
    struct place last;
    body_room_init(&room, directory, DISK);
    for (size_t i = 0; i < IN_MEMORY; i++) {
        assert_int_equal(claim(&room, &places[i], 0, BODY_MEMORY_MAXIMUM), STATUS_OK);
        assert_true(places[i].body.file < 0);
    }
    assert_int_equal(claim(&room, &last, 0, 1), STATUS_OK);
    assert_true(last.body.file >= 0);
    leave(&room, &last);
    leave(&room, &places[IN_MEMORY / 2]);
    assert_int_equal(claim(&room, &last, 0, 1), STATUS_OK);
    assert_true(last.body.file < 0);
    leave(&room, &last);
    for (size_t i = 0; i < IN_MEMORY; i++) {
        leave(&room, &places[i]);
    }
    assert_empty(&room);
    body_room_release(&room);
}

static void full_disk_room_is_busy_until_somebody_leaves(void **state)
{
    (void)state;
    struct body_room room;
    struct place first;
    struct place second;
    body_room_init(&room, directory, DISK);
    assert_int_equal(claim(&room, &first, 0, DISK + 1), STATUS_BUSY);
    assert_int_equal(first.claim.size, 0);
    assert_empty(&room);
    assert_int_equal(claim(&room, &first, 0, DISK), STATUS_OK);
    assert_int_equal(claim(&room, &second, 0, BODY_MEMORY_MAXIMUM + 1), STATUS_BUSY);
    leave(&room, &second);
    leave(&room, &first);
    assert_int_equal(claim(&room, &second, 0, BODY_MEMORY_MAXIMUM + 1), STATUS_OK);
    leave(&room, &second);
    assert_empty(&room);
    body_room_release(&room);
}

static void one_owner_holds_no_more_than_half_but_a_single_body_may_have_all(void **state)
{
    (void)state;
    const size_t quarter = DISK / 4;
    struct body_room room;
    struct place places[4];
    body_room_init(&room, directory, DISK);
    /* Bytes that an owner has in memory do not count. */
    assert_int_equal(claim(&room, &places[0], 7, 1000), STATUS_OK);
    assert_int_equal(claim(&room, &places[1], 7, DISK), STATUS_OK);
    leave(&room, &places[1]);
    assert_int_equal(claim(&room, &places[1], 7, quarter), STATUS_OK);
    assert_int_equal(claim(&room, &places[2], 7, quarter + 1), STATUS_BUSY);
    assert_int_equal(claim(&room, &places[2], 7, quarter), STATUS_OK);
    assert_int_equal(claim(&room, &places[3], 7, BODY_MEMORY_MAXIMUM + 1), STATUS_BUSY);
    /* Others have the rest, and nobody in particular is no owner. */
    assert_int_equal(claim(&room, &places[3], 8, quarter), STATUS_OK);
    leave(&room, &places[3]);
    leave(&room, &places[2]);
    leave(&room, &places[1]);
    leave(&room, &places[0]);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(claim(&room, &places[i], 0, quarter), STATUS_OK);
    }
    for (size_t i = 0; i < 4; i++) {
        leave(&room, &places[i]);
    }
    assert_empty(&room);
    body_room_release(&room);
}

static void room_without_a_directory_takes_small_bodies_only(void **state)
{
    (void)state;
    struct body_room room;
    struct place place;
    body_room_init(&room, NULL, DISK);
    assert_int_equal(claim(&room, &place, 0, BODY_MEMORY_MAXIMUM + 1), STATUS_BUSY);
    assert_int_equal(claim(&room, &place, 0, BODY_MEMORY_MAXIMUM), STATUS_OK);
    leave(&room, &place);
    assert_empty(&room);
    body_room_release(&room);
}

static void claim_whose_file_cannot_be_made_is_given_back(void **state)
{
    (void)state;
    char missing[80];
    struct body_room room;
    struct place place;
    snprintf(missing, sizeof(missing), "%s/missing", directory);
    body_room_init(&room, missing, DISK);
    assert_int_equal(claim(&room, &place, 0, BODY_MEMORY_MAXIMUM + 1), STATUS_UNAVAILABLE);
    assert_int_equal(place.claim.size, 0);
    assert_empty(&room);
    body_room_release(&room);
}

#define BODY_TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BODY_TEST(body_in_memory_is_one_piece_with_a_nul_behind_it),
        BODY_TEST(body_in_a_file_is_the_same_and_begins_with_what_came_before),
        BODY_TEST(body_that_fills_its_file_to_the_last_byte_has_its_nul),
        BODY_TEST(reset_body_keeps_as_much_memory_as_it_may),
        BODY_TEST(body_without_a_place_for_its_file_stays_as_it_was),
        BODY_TEST(body_beyond_what_files_may_have_is_unavailable),
        BODY_TEST(body_without_memory_is_told_so),
        BODY_TEST(bodies_of_a_megabyte_are_in_memory_and_larger_ones_in_files),
        BODY_TEST(bodies_beyond_the_memory_of_all_go_to_files),
        BODY_TEST(full_disk_room_is_busy_until_somebody_leaves),
        BODY_TEST(one_owner_holds_no_more_than_half_but_a_single_body_may_have_all),
        BODY_TEST(room_without_a_directory_takes_small_bodies_only),
        BODY_TEST(claim_whose_file_cannot_be_made_is_given_back),
    };
    return cmocka_run_group_tests_name("body", tests, NULL, NULL);
}
