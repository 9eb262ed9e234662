/*
 * FastCGI records: what is sent to us, however hostile, and what we send.
 */
#include "fastcgi_peer.h"

#include <stdio.h>

#include "base/memory.h"
#include "transport/fastcgi_request.h"

/* --- What a web server sends --------------------------------------------------------------------- */

/* A whole request with two parameters and this body. */
static void put_request(struct buffer *out, uint16_t id, int flags, const char *body)
{
    struct buffer pairs;
    buffer_init(&pairs, 4096);
    put_pair(&pairs, "REQUEST_METHOD", "POST");
    put_pair(&pairs, "EMPTY", "");
    put_begin(out, id, FASTCGI_RESPONDER, flags);
    put(out, FASTCGI_PARAMS, id, pairs.data, pairs.length, 3);
    put(out, FASTCGI_PARAMS, id, NULL, 0, 0);
    if (body[0] != '\0') {
        put(out, FASTCGI_STDIN, id, body, strlen(body), 5);
    }
    put(out, FASTCGI_STDIN, id, NULL, 0, 0);
    buffer_release(&pairs);
}

/* --- A reader that writes down what happens -------------------------------------------------- */

struct reader {
    struct fastcgi_request request;
    struct arena arena;
    struct buffer events; /* text */
    size_t limit;
    size_t room;      /* before more is asked for */
    int64_t declared; /* CONTENT_LENGTH */
};

static void reader_open(struct reader *reader)
{
    fastcgi_request_init(&reader->request, 100);
    arena_init(&reader->arena, 16 << 20);
    buffer_init(&reader->events, 1 << 20);
    reader->limit = 1000;
    reader->room = 1000;
    reader->declared = EXCHANGE_LENGTH_UNKNOWN;
}

static void reader_close(struct reader *reader)
{
    fastcgi_request_release(&reader->request);
    buffer_release(&reader->request.replies);
    buffer_release(&reader->request.management);
    arena_destroy(&reader->arena);
    buffer_release(&reader->events);
}

static void note_parameters(struct reader *reader)
{
    const struct exchange_parameter *parameters;
    size_t count;
    fastcgi_request_parse(&reader->request, &reader->arena, &parameters, &count);
    reader->request.body_limit = reader->limit;
    reader->request.body_room = reader->room < reader->limit ? reader->room : reader->limit;
    reader->request.body_declared = reader->declared;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(parameters[i].value.data[parameters[i].value.length], '\0');
        buffer_append(&reader->events, parameters[i].name.data, parameters[i].name.length);
        buffer_append_char(&reader->events, '=');
        buffer_append(&reader->events, parameters[i].value.data, parameters[i].value.length);
        buffer_append_char(&reader->events, ' ');
    }
}

static void note_complete(struct reader *reader)
{
    const struct fastcgi_request *request = &reader->request;
    if (request->refusal != 0) {
        buffer_append_format(&reader->events, "refused %d;", request->refusal);
    } else if (request->body_too_large) {
        buffer_append_text(&reader->events, "too large;");
    } else if (request->body_differs) {
        buffer_append_text(&reader->events, "differs;");
    } else {
        buffer_append_format(&reader->events, "request %d [%s]%s%s;", request->id,
                             buffer_text(&request->body.memory),
                             request->keep_connection ? " keep" : "",
                             request->input_ended ? "" : " unended");
    }
}

static bool reader_feed(struct reader *reader, struct slice input)
{
    for (;;) {
        switch (fastcgi_request_feed(&reader->request, &input)) {
        case FASTCGI_NEEDS_MORE:
            assert_int_equal(input.length, 0);
            return true;
        case FASTCGI_BEGUN:
            break;
        case FASTCGI_HAS_PARAMETERS:
            note_parameters(reader);
            break;
        case FASTCGI_NEEDS_ROOM:
            assert_int_equal(reader->request.body.length, reader->room);
            buffer_append_text(&reader->events, "room;");
            reader->request.body_room = reader->limit;
            break;
        case FASTCGI_COMPLETE:
            note_complete(reader);
            fastcgi_request_next(&reader->request);
            break;
        case FASTCGI_ENDED:
            buffer_append_text(&reader->events, "ended;");
            break;
        case FASTCGI_BROKEN:
            buffer_append_text(&reader->events, "broken;");
            return false;
        }
    }
}

/* What happens for this input, the same for every way of splitting it. */
static void expect(const struct buffer *input, const char *events)
{
    const size_t sizes[] = {1, 2, 3, 7, 8, 9, 64, 1000, input->length};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct reader reader;
        reader_open(&reader);
        bool goes_on = true;
        for (size_t at = 0; at < input->length && goes_on; at += sizes[i]) {
            size_t length = input->length - at < sizes[i] ? input->length - at : sizes[i];
            goes_on = reader_feed(&reader, (struct slice){input->data + at, length});
        }
        assert_string_equal(buffer_text(&reader.events), events);
        reader_close(&reader);
    }
}

static void expect_once(struct buffer *input, const char *events)
{
    expect(input, events);
    buffer_reset(input);
}

static int open_input(void **state)
{
    static struct buffer input;
    buffer_init(&input, 80 << 20);
    *state = &input;
    return 0;
}

static int close_input(void **state)
{
    buffer_release(*state);
    return 0;
}

/* --- Requests ------------------------------------------------------------------------------------ */

static void request_is_put_together_from_any_split(void **state)
{
    struct buffer *input = *state;
    put_request(input, 1, 0, "hello");
    expect_once(input, "REQUEST_METHOD=POST EMPTY= request 1 [hello];");
}

static void requests_on_a_kept_connection_follow_each_other(void **state)
{
    struct buffer *input = *state;
    put_request(input, 1, FASTCGI_KEEP_CONNECTION, "one");
    put_request(input, 1, FASTCGI_KEEP_CONNECTION, "");
    put_request(input, 9, 0, "three");
    expect_once(input, "REQUEST_METHOD=POST EMPTY= request 1 [one] keep;"
                       "REQUEST_METHOD=POST EMPTY= request 1 [] keep;"
                       "REQUEST_METHOD=POST EMPTY= request 9 [three];");
}

static void streams_may_come_in_many_records(void **state)
{
    struct buffer *input = *state;
    put_begin(input, 1, FASTCGI_RESPONDER, 0);
    put(input, FASTCGI_PARAMS, 1, "\x01", 1, 0);
    put(input, FASTCGI_PARAMS, 1, "\x02", 1, 255);
    put(input, FASTCGI_PARAMS, 1, "Av", 2, 1);
    put(input, FASTCGI_PARAMS, 1, "w\x01\x00", 3, 0);
    put(input, FASTCGI_PARAMS, 1, "B", 1, 0);
    put(input, FASTCGI_PARAMS, 1, NULL, 0, 7);
    put(input, FASTCGI_STDIN, 1, "a", 1, 0);
    put(input, FASTCGI_STDIN, 1, "bc", 2, 9);
    put(input, FASTCGI_STDIN, 1, NULL, 0, 200);
    expect_once(input, "A=vw B= request 1 [abc];");
}

static void long_lengths_are_understood(void **state)
{
    struct buffer *input = *state;
    char value[301];
    memset(value, 'v', 300);
    value[300] = '\0';
    struct buffer pairs;
    buffer_init(&pairs, 4096);
    put_pair(&pairs, "LONG", value);
    put_pair(&pairs, "NEXT", "x");
    put_begin(input, 1, FASTCGI_RESPONDER, 0);
    put(input, FASTCGI_PARAMS, 1, pairs.data, pairs.length, 0);
    put(input, FASTCGI_PARAMS, 1, NULL, 0, 0);
    put(input, FASTCGI_STDIN, 1, NULL, 0, 0);
    buffer_release(&pairs);
    char events[400];
    snprintf(events, sizeof(events), "LONG=%s NEXT=x request 1 [];", value);
    expect_once(input, events);
}

static void request_without_parameters_is_a_request(void **state)
{
    struct buffer *input = *state;
    put_begin(input, 1, FASTCGI_RESPONDER, 0);
    put(input, FASTCGI_PARAMS, 1, NULL, 0, 0);
    put(input, FASTCGI_STDIN, 1, NULL, 0, 0);
    expect_once(input, "request 1 [];");
}

static void records_of_other_requests_are_skipped(void **state)
{
    struct buffer *input = *state;
    put(input, FASTCGI_STDIN, 5, "late", 4, 0);
    put(input, FASTCGI_ABORT_REQUEST, 5, NULL, 0, 0);
    put(input, FASTCGI_PARAMS, 5, "\xff\xff", 2, 0);
    put_request(input, 1, FASTCGI_KEEP_CONNECTION, "x");
    put(input, FASTCGI_STDIN, 1, NULL, 0, 0);
    expect_once(input, "REQUEST_METHOD=POST EMPTY= request 1 [x] keep;");
}

static void body_of_exactly_the_limit_is_accepted_one_more_is_not(void **state)
{
    struct buffer *input = *state;
    char body[1002];
    memset(body, 'b', sizeof(body));
    body[1000] = '\0';
    char events[1100];
    put_request(input, 1, 0, body);
    snprintf(events, sizeof(events), "REQUEST_METHOD=POST EMPTY= request 1 [%s];", body);
    expect_once(input, events);
    body[1000] = 'b';
    body[1001] = '\0';
    put_request(input, 1, 0, body);
    expect_once(input, "REQUEST_METHOD=POST EMPTY= too large;");
}

static void no_more_of_a_body_is_taken_than_there_is_room_for(void **state)
{
    struct buffer *input = *state;
    static const struct {
        size_t room;
        const char *events;
    } cases[] = {
        {3, "REQUEST_METHOD=POST EMPTY= room;request 1 [hello];"},
        {4, "REQUEST_METHOD=POST EMPTY= room;request 1 [hello];"},
        {5, "REQUEST_METHOD=POST EMPTY= request 1 [hello];"},
        {0, "REQUEST_METHOD=POST EMPTY= room;request 1 [hello];"},
    };
    put_request(input, 1, 0, "hello");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t size = 1; size <= input->length; size++) {
            struct reader reader;
            reader_open(&reader);
            reader.room = cases[i].room;
            for (size_t at = 0; at < input->length; at += size) {
                size_t length = input->length - at < size ? input->length - at : size;
                assert_true(reader_feed(&reader, (struct slice){input->data + at, length}));
            }
            assert_string_equal(buffer_text(&reader.events), cases[i].events);
            reader_close(&reader);
        }
    }
    buffer_reset(input);
}

static void a_body_longer_than_its_declared_length_differs(void **state)
{
    struct buffer *input = *state;
    put_request(input, 1, 0, "hello");
    static const int64_t declared[] = {0, 1, 4};
    for (size_t i = 0; i < 3; i++) {
        struct reader reader;
        reader_open(&reader);
        reader.declared = declared[i];
        assert_true(reader_feed(&reader, (struct slice){input->data, input->length}));
        assert_string_equal(buffer_text(&reader.events), "REQUEST_METHOD=POST EMPTY= differs;");
        reader_close(&reader);
    }
    buffer_reset(input);
}

static void the_next_request_is_seen_from_its_first_byte(void **state)
{
    struct buffer *input = *state;
    struct reader reader;
    reader_open(&reader);
    assert_true(fastcgi_request_is_idle(&reader.request));
    put_request(input, 1, FASTCGI_KEEP_CONNECTION, "one");
    for (int i = 0; i < 3; i++) {
        for (size_t at = 0; at < input->length; at++) {
            assert_true(reader_feed(&reader, (struct slice){input->data + at, 1}));
            assert_int_equal(fastcgi_request_is_idle(&reader.request), at + 1 == input->length);
        }
    }
    reader_close(&reader);
    buffer_reset(input);
}

static void endless_body_is_answered_without_its_end(void **state)
{
    struct buffer *input = *state;
    static char chunk[65535];
    put_begin(input, 1, FASTCGI_RESPONDER, FASTCGI_KEEP_CONNECTION);
    put(input, FASTCGI_PARAMS, 1, NULL, 0, 0);
    for (size_t sent = 0; sent <= FASTCGI_DISCARD_MAXIMUM + 1000; sent += sizeof(chunk)) {
        put(input, FASTCGI_STDIN, 1, chunk, sizeof(chunk), 0);
    }
    struct reader reader;
    reader_open(&reader);
    struct slice rest = {input->data, input->length};
    assert_int_equal(fastcgi_request_feed(&reader.request, &rest), FASTCGI_BEGUN);
    assert_int_equal(fastcgi_request_feed(&reader.request, &rest), FASTCGI_HAS_PARAMETERS);
    assert_int_equal(fastcgi_request_feed(&reader.request, &rest), FASTCGI_COMPLETE);
    assert_true(reader.request.body_too_large);
    assert_false(reader.request.input_ended);
    assert_int_equal(fastcgi_request_feed(&reader.request, &rest), FASTCGI_NEEDS_MORE);
    assert_int_equal(reader.request.body.memory.capacity, 0);
    reader_close(&reader);
    buffer_reset(input);
}

static void too_many_parameters_are_refused_with_431_after_the_whole_request(void **state)
{
    struct buffer *input = *state;
    static char pair[35007];
    memcpy(pair,
           "\x01\x80\x00\x88\xb8"
           "A",
           6); /* a value of 35,000 bytes */
    memset(pair + 6, 'v', 35000);
    put_begin(input, 1, FASTCGI_RESPONDER, FASTCGI_KEEP_CONNECTION);
    put(input, FASTCGI_PARAMS, 1, pair, 35006, 0);
    put(input, FASTCGI_PARAMS, 1, pair, 35006, 0);
    put(input, FASTCGI_PARAMS, 1, NULL, 0, 0);
    put(input, FASTCGI_STDIN, 1, "body", 4, 0);
    put(input, FASTCGI_STDIN, 1, NULL, 0, 0);
    put_request(input, 1, 0, "");
    struct buffer events;
    buffer_init(&events, 1 << 20);
    buffer_append_text(&events, "A=");
    buffer_append(&events, pair + 6, 35000);
    buffer_append_text(&events, " refused 431;REQUEST_METHOD=POST EMPTY= request 1 [];");
    expect_once(input, buffer_text(&events));
    buffer_release(&events);
}

static void malformed_parameters_are_refused_with_400(void **state)
{
    struct buffer *input = *state;
    static const struct {
        const char *pairs;
        size_t length;
        const char *whole; /* before the fault */
    } cases[] = {
        {"\x01", 1, ""}, /* no second length */
        {"\x05\x01"
         "ab",
         4, ""},                                     /* runs beyond the end */
        {"\xff\xff\xff\xff\xff\xff\xff\xff", 8, ""}, /* two of 2^31-1 */
        {"\x80\x00\x00", 3, ""},                     /* half a length */
        {"\x01\x01"
         "ab\x7f",
         5, "a=b "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_begin(input, 1, FASTCGI_RESPONDER, 0);
        put(input, FASTCGI_PARAMS, 1, cases[i].pairs, cases[i].length, 0);
        put(input, FASTCGI_PARAMS, 1, NULL, 0, 0);
        put(input, FASTCGI_STDIN, 1, NULL, 0, 0);
        char events[64];
        snprintf(events, sizeof(events), "%srefused 400;", cases[i].whole);
        expect_once(input, events);
    }
}

static void abort_ends_the_request_and_the_next_one_is_served(void **state)
{
    struct buffer *input = *state;
    put_begin(input, 1, FASTCGI_RESPONDER, FASTCGI_KEEP_CONNECTION);
    put(input, FASTCGI_PARAMS, 1, NULL, 0, 0);
    put(input, FASTCGI_STDIN, 1, "half", 4, 0);
    put(input, FASTCGI_ABORT_REQUEST, 1, NULL, 0, 0);
    put(input, FASTCGI_STDIN, 1, "late", 4, 0);
    put_request(input, 2, 0, "x");
    expect_once(input, "ended;REQUEST_METHOD=POST EMPTY= request 2 [x];");
}

static void what_no_fastcgi_peer_sends_is_broken(void **state)
{
    struct buffer *input = *state;
    buffer_append_text(input, "GET / HTTP/1.0\r\n\r\n");
    expect_once(input, "broken;");
    put(input, FASTCGI_BEGIN_REQUEST, 1, "\0\1", 2, 0); /* too short */
    expect_once(input, "broken;");
    put(input, FASTCGI_BEGIN_REQUEST, 0, "\0\1\0\0\0\0\0\0", 8, 0); /* no id */
    expect_once(input, "broken;");
    put(input, FASTCGI_STDOUT, 1, "x", 1, 0); /* ours to send */
    expect_once(input, "broken;");
    put_begin(input, 1, FASTCGI_RESPONDER, 0); /* twice */
    put_begin(input, 1, FASTCGI_RESPONDER, 0);
    expect_once(input, "broken;");
    put_begin(input, 1, FASTCGI_RESPONDER, 0); /* a body before the parameters' end */
    put(input, FASTCGI_STDIN, 1, "x", 1, 0);
    expect_once(input, "broken;");
    put_begin(input, 1, FASTCGI_RESPONDER, 0); /* parameters after their end */
    put(input, FASTCGI_PARAMS, 1, NULL, 0, 0);
    put(input, FASTCGI_PARAMS, 1, "x", 1, 0);
    expect_once(input, "broken;");
}

/* --- Replies --------------------------------------------------------------------------------- */

static void expect_replies(const struct buffer *input, const void *replies, size_t length)
{
    struct reader reader;
    reader_open(&reader);
    assert_true(reader_feed(&reader, (struct slice){input->data, input->length}));
    assert_int_equal(reader.request.replies.length, length);
    assert_memory_equal(reader.request.replies.data, replies, length);
    reader_close(&reader);
}

static void values_are_told_once_each_however_often_they_are_asked(void **state)
{
    struct buffer *input = *state;
    struct buffer pairs;
    buffer_init(&pairs, 1000);
    for (int i = 0; i < 4; i++) {
        put_pair(&pairs, "FCGI_MPXS_CONNS", "");
        put_pair(&pairs, "FCGI_MAX_CONNS", "");
        put_pair(&pairs, "FCGI_UNHEARD_OF", "");
    }
    put(input, FASTCGI_GET_VALUES, 0, pairs.data, pairs.length, 0);
    buffer_release(&pairs);
    static const char replies[] = "\x01\x0a\0\0\0\x25\0\0"
                                  "\x0e\x03"
                                  "FCGI_MAX_CONNS100"
                                  "\x0f\x01"
                                  "FCGI_MPXS_CONNS0";
    expect_replies(input, replies, sizeof(replies) - 1);
}

static void unknown_management_record_is_answered(void **state)
{
    struct buffer *input = *state;
    put(input, (enum fastcgi_type)77, 0, "anything", 8, 0);
    expect_replies(input, "\x01\x0b\0\0\0\x08\0\0\x4d\0\0\0\0\0\0\0", 16);
}

static void second_request_at_the_same_time_is_refused_and_the_first_goes_on(void **state)
{
    struct buffer *input = *state;
    put_begin(input, 1, FASTCGI_RESPONDER, FASTCGI_KEEP_CONNECTION);
    put_begin(input, 2, FASTCGI_RESPONDER, FASTCGI_KEEP_CONNECTION);
    put(input, FASTCGI_PARAMS, 2, "\xff\xff\xff", 3, 0);
    put(input, FASTCGI_PARAMS, 1, NULL, 0, 0);
    put(input, FASTCGI_STDIN, 1, NULL, 0, 0);
    expect(input, "request 1 [] keep;");
    expect_replies(input, "\x01\x03\0\x02\0\x08\0\0\0\0\0\0\x01\0\0\0", 16);
}

static void other_roles_are_refused(void **state)
{
    struct buffer *input = *state;
    put_begin(input, 1, 2, FASTCGI_KEEP_CONNECTION);
    put(input, FASTCGI_PARAMS, 1, NULL, 0, 0);
    expect(input, "ended;");
    expect_replies(input, "\x01\x03\0\x01\0\x08\0\0\0\0\0\0\x03\0\0\0", 16);
}

static void flood_of_questions_is_broken_instead_of_kept(void **state)
{
    struct buffer *input = *state;
    for (int i = 0; i < 1000; i++) {
        put(input, (enum fastcgi_type)77, 0, NULL, 0, 0);
    }
    struct reader reader;
    reader_open(&reader);
    assert_false(reader_feed(&reader, (struct slice){input->data, input->length}));
    assert_true(reader.request.replies.length <= FASTCGI_REPLIES_MAXIMUM);
    reader_close(&reader);
    buffer_reset(input);
    static const char names[FASTCGI_MANAGEMENT_MAXIMUM + 1];
    put(input, FASTCGI_GET_VALUES, 0, names, sizeof(names), 0);
    expect_once(input, "broken;");
}

static void client_that_aborts_while_it_is_answered_is_noticed(void **state)
{
    struct buffer *input = *state;
    struct reader reader;
    reader_open(&reader);
    put_begin(input, 1, FASTCGI_RESPONDER, 0);
    put(input, FASTCGI_PARAMS, 1, NULL, 0, 0);
    put(input, FASTCGI_STDIN, 1, NULL, 0, 0);
    put(input, FASTCGI_STDIN, 1, NULL, 0, 0); /* some servers say it twice */
    struct slice rest = {input->data, input->length};
    assert_int_equal(fastcgi_request_feed(&reader.request, &rest), FASTCGI_BEGUN);
    assert_int_equal(fastcgi_request_feed(&reader.request, &rest), FASTCGI_HAS_PARAMETERS);
    assert_int_equal(fastcgi_request_feed(&reader.request, &rest), FASTCGI_COMPLETE);
    assert_int_equal(fastcgi_request_feed(&reader.request, &rest), FASTCGI_NEEDS_MORE);
    buffer_reset(input);
    put_begin(input, 2, FASTCGI_RESPONDER, 0);
    put(input, FASTCGI_ABORT_REQUEST, 1, NULL, 0, 0);
    rest = (struct slice){input->data, input->length};
    assert_int_equal(fastcgi_request_feed(&reader.request, &rest), FASTCGI_ENDED);
    assert_int_equal(reader.request.replies.length, FASTCGI_END_REQUEST_SIZE);
    assert_true(reader.request.was_aborted);
    reader_close(&reader);
}

static void failing_memory_refuses_with_503_or_breaks(void **state)
{
    struct buffer *input = *state;
    put_request(input, 1, 0, "a body");
    for (unsigned long n = 1;; n++) {
        struct reader reader;
        reader_open(&reader);
        char *room = buffer_reserve(&reader.events, 1000);
        assert_non_null(room);
        memory_fail_after(n);
        bool fine = reader_feed(&reader, (struct slice){input->data, input->length});
        unsigned long failures = memory_failures_seen();
        memory_fail_after(0);
        bool refused =
            strcmp(buffer_text(&reader.events), "refused 503;") == 0 ||
            strcmp(buffer_text(&reader.events), "REQUEST_METHOD=POST EMPTY= refused 503;") == 0;
        assert_true(failures == 0 || refused || !fine);
        reader_close(&reader);
        if (failures == 0) {
            assert_true(n > 2);
            break;
        }
    }
}

/* --- Answers --------------------------------------------------------------------------------- */

/* Frames `length` bytes, of which each call takes at most `step`, and returns the text that a web
 * server would get out of it. */
static void check_framing(size_t length, size_t step)
{
    char *text = memory_allocate(length + 1);
    for (size_t i = 0; i < length; i++) {
        text[i] = (char)(i * 31 >> 3);
    }
    struct buffer wire;
    buffer_init(&wire, 4 << 20);
    struct fastcgi_framer framer;
    fastcgi_framer_start(&framer, 7);
    assert_true(fastcgi_is_between_records(&framer));
    size_t done = 0;
    for (;;) {
        struct fastcgi_frames frames;
        struct slice rest = {text + done, length - done};
        fastcgi_frame(&framer, rest, true, &frames);
        if (frames.count == 0) {
            break;
        }
        size_t taken = 0;
        for (int i = 0; i < frames.count && taken < step; i++) {
            size_t size = frames.pieces[i].iov_len;
            size = size < step - taken ? size : step - taken;
            buffer_append(&wire, frames.pieces[i].iov_base, size);
            taken += size;
        }
        done += fastcgi_framed(&framer, rest.length, taken);
    }
    assert_int_equal(done, length);

    /* Taken apart again. */
    size_t at = 0;
    size_t found = 0;
    bool ended = false;
    while (at < wire.length) {
        struct fastcgi_header header;
        assert_true(fastcgi_decode_header((unsigned char *)wire.data + at, &header));
        assert_int_equal(header.id, 7);
        at += FASTCGI_HEADER_SIZE;
        if (header.type == FASTCGI_STDOUT) {
            assert_false(ended);
            assert_memory_equal(wire.data + at, text + found, header.length);
            found += header.length;
            ended = header.length == 0;
        } else {
            assert_int_equal(header.type, FASTCGI_END_REQUEST);
            assert_true(ended);
            assert_memory_equal(wire.data + at, "\0\0\0\0\0\0\0\0", 8);
        }
        at += header.length;
    }
    assert_int_equal(at, wire.length);
    assert_int_equal(found, length);
    buffer_release(&wire);
    memory_release(text);
}

static void answer_is_framed_whatever_the_socket_takes(void **state)
{
    (void)state;
    const size_t lengths[] = {0, 1, 100, 65528, 65529, 200000, 1200000};
    const size_t steps[] = {1000, 65528 + 8, 65528 + 9, 213000, 10000000};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
            check_framing(lengths[i], steps[k]);
        }
    }
    for (size_t step = 1; step < 40; step++) {
        check_framing(50, step);
        check_framing(70000, step * 7);
    }
}

static void unfinished_answer_is_framed_without_an_end(void **state)
{
    (void)state;
    struct fastcgi_framer framer;
    struct fastcgi_frames frames;
    fastcgi_framer_start(&framer, 1);
    fastcgi_frame(&framer, slice_of("data: x\n\n"), false, &frames);
    assert_int_equal(frames.count, 2);
    assert_int_equal(fastcgi_framed(&framer, 9, 4), 0); /* half a header */
    assert_false(fastcgi_is_between_records(&framer));
    /* More text came meanwhile: the record that was begun keeps its length. */
    fastcgi_frame(&framer, slice_of("data: x\n\ndata: y\n\n"), false, &frames);
    assert_int_equal(frames.count, 4);
    assert_int_equal(frames.pieces[0].iov_len, 4);
    assert_int_equal(frames.pieces[1].iov_len, 9);
    assert_int_equal(frames.pieces[3].iov_len, 9);
    assert_int_equal(fastcgi_framed(&framer, 18, 4 + 9 + 8 + 9), 18);
    assert_true(fastcgi_is_between_records(&framer));
    fastcgi_frame(&framer, slice_of(""), false, &frames);
    assert_int_equal(frames.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_input, close_input)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(request_is_put_together_from_any_split),
        TEST(requests_on_a_kept_connection_follow_each_other),
        TEST(streams_may_come_in_many_records),
        TEST(long_lengths_are_understood),
        TEST(request_without_parameters_is_a_request),
        TEST(records_of_other_requests_are_skipped),
        TEST(body_of_exactly_the_limit_is_accepted_one_more_is_not),
        TEST(endless_body_is_answered_without_its_end),
        TEST(no_more_of_a_body_is_taken_than_there_is_room_for),
        TEST(a_body_longer_than_its_declared_length_differs),
        TEST(the_next_request_is_seen_from_its_first_byte),
        TEST(too_many_parameters_are_refused_with_431_after_the_whole_request),
        TEST(malformed_parameters_are_refused_with_400),
        TEST(abort_ends_the_request_and_the_next_one_is_served),
        TEST(what_no_fastcgi_peer_sends_is_broken),
        TEST(values_are_told_once_each_however_often_they_are_asked),
        TEST(unknown_management_record_is_answered),
        TEST(second_request_at_the_same_time_is_refused_and_the_first_goes_on),
        TEST(other_roles_are_refused),
        TEST(flood_of_questions_is_broken_instead_of_kept),
        TEST(client_that_aborts_while_it_is_answered_is_noticed),
        TEST(failing_memory_refuses_with_503_or_breaks),
        TEST(answer_is_framed_whatever_the_socket_takes),
        TEST(unfinished_answer_is_framed_without_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
