/*
 * charts/history: pages of the points of a series, by time.
 *
 * before_time and `to` bound a page above (exclusive, inclusive), after_time and `from` below. A
 * page is filled from its upper bound downwards, or from the newest point where there is none;
 * with a lower bound alone from that one upwards, so that a client can walk either way.
 *
 * A body may ask for several pages. Each is answered for itself, by a page or by the error it would
 * have been alone; together they have no more points than one page may have.
 */
#include <math.h>

#include "charts.h"
#include "http/fields.h"

#define COUNT_DEFAULT    500
#define COUNT_MAXIMUM    10000
#define REQUESTS_MAXIMUM 20

/* A number of the query (GET) or of the body (POST). */
struct number {
    const char *snake;
    const char *camel;
    const char *name; /* the spelling of the two that the client uses */
    bool is_given;
    double value;
};

struct page {
    struct number count;
    struct number before;
    struct number after;
    struct number from;
    struct number to;
};

static bool is_posted(const struct request *request)
{
    return request->json != NULL;
}

static void refuse_number(struct request *request, const struct number *number, const char *message,
                          const char *type)
{
    problem_add_field(request, is_posted(request) ? "body" : "query", number->name, message, type);
}

static void refuse_integer(struct request *request, const struct number *number, const char *type)
{
    refuse_number(request, number, "Input should be a valid integer", type);
}

static void read_number(struct request *request, struct number *number)
{
    bool is_valid;
    if (is_posted(request)) {
        number->name = charts_member_name(request, number->snake, number->camel);
        const struct json_node *node = json_member(request->json, number->name);
        number->is_given = node != NULL && json_node_kind(node) != JSON_NULL;
        is_valid = json_get_double(node, &number->value);
    } else {
        struct slice text;
        number->name = request_query(request, number->snake, &text) ||
                               !request_query(request, number->camel, &text)
                           ? number->snake
                           : number->camel;
        number->is_given = request_query(request, number->name, &text);
        is_valid = number->is_given && text_parse_double(text, &number->value) == STATUS_OK;
    }
    if (number->is_given && (!is_valid || !isfinite(number->value))) {
        refuse_integer(request, number, "int_parsing");
        number->is_given = false;
    }
}

static bool has_fraction(const struct number *number)
{
    return number->is_given && floor(number->value) != number->value;
}

/* The limit that the number exceeds, as the end of a message; NULL: none. */
static const char *range_fault(const struct page *page, const struct number *number)
{
    if (!number->is_given) {
        return NULL;
    }
    if (number == &page->count) {
        return number->value < 1 || number->value > COUNT_MAXIMUM ? "must be between 1 and 10000"
                                                                  : NULL;
    }
    return number->value < POINT_TIME_MINIMUM   ? "must not be before the year 1"
           : number->value > POINT_TIME_MAXIMUM ? "exceeds maximum allowed timestamp"
                                                : NULL;
}

/* False when answered. In a body all faults are fields of one 422. In a query that is so for values
 * that are not numbers and for a count with a fraction; otherwise the first number that is out of range
 * is told, as 400. */
static bool read_page(struct request *request, struct page *page)
{
    *page = (struct page){
        .count = {.snake = "count", .camel = "count"},
        .before = {.snake = "before_time", .camel = "beforeTime"},
        .after = {.snake = "after_time", .camel = "afterTime"},
        .from = {.snake = "from", .camel = "from"},
        .to = {.snake = "to", .camel = "to"},
    };
    struct number *numbers[] = {&page->count, &page->before, &page->after, &page->from, &page->to};
    const char *refusal = NULL;
    bool is_refused = false;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        read_number(request, numbers[i]);
        if (numbers[i] == &page->count && has_fraction(&page->count)) {
            refuse_integer(request, &page->count, "int_from_float");
            page->count.is_given = false;
        }
        const char *fault = range_fault(page, numbers[i]);
        if (fault == NULL) {
            continue;
        }
        const char *message = arena_format(request->arena, "%s %s", numbers[i]->name, fault);
        if (is_posted(request)) {
            refuse_number(request, numbers[i], message, "out_of_range");
        } else if (!is_refused) {
            is_refused = true;
            refusal = message;
        }
    }
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return false;
    }
    if (is_refused) {
        problem_answer(request, PROBLEM_INVALID_REQUEST, refusal);
    }
    return !is_refused;
}

static struct series_window window_of(const struct page *page)
{
    struct series_window window = {
        .from = SERIES_FROM_START,
        .before = SERIES_TO_END,
        .limit = page->count.is_given ? (int64_t)page->count.value : COUNT_DEFAULT,
        .bytes = CHARTS_ANSWER_MAXIMUM,
    };
    if (page->from.is_given) {
        window.from = page->from.value;
    }
    if (page->after.is_given) {
        /* "After" is from the next number on. */
        window.from = fmax(window.from, nextafter(page->after.value, INFINITY));
    }
    if (page->to.is_given) {
        window.before = nextafter(page->to.value, INFINITY);
    }
    if (page->before.is_given) {
        window.before = fmin(window.before, page->before.value);
    }
    bool has_lower = page->from.is_given || page->after.is_given;
    window.oldest_first = has_lower && !page->to.is_given && !page->before.is_given;
    return window;
}

/* Times are whole seconds, but a series with points inside of seconds could not be walked by
 * those: it takes fractions. False when answered. */
static bool check_fractions(struct request *request, const struct page *page, bool are_allowed)
{
    const struct number *times[] = {&page->before, &page->after, &page->from, &page->to};
    for (size_t i = 0; i < sizeof times / sizeof times[0] && !are_allowed; i++) {
        if (has_fraction(times[i])) {
            refuse_integer(request, times[i], "int_from_float");
        }
    }
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return false;
    }
    return true;
}

/* False when a failure has been answered. */
static bool answer_page(struct request *request, const struct series_key *key,
                        const struct page *page, const struct series_window *window,
                        struct series_range *range)
{
    enum status status =
        series_read(request->app->chart_storage, request->arena, key, window, range);
    bool are_fractions_allowed = status == STATUS_OK && range->series.has_fractions;
    if ((status == STATUS_OK || status == STATUS_NOT_FOUND) &&
        !check_fractions(request, page, are_fractions_allowed)) {
        return false;
    }
    if (status != STATUS_OK) {
        charts_answer_failure(request, key, status);
        return false;
    }
    charts_note_use(request, range->series.chart);
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "seriesId", key->id);
    charts_write_points(json, range);
    charts_write_place(json, range);
    json_write_member_integer(json, "totalCount", range->series.point_count);
    json_write_object_end(json);
    return true;
}

void charts_show_history(struct request *request)
{
    struct series_key key;
    struct page page;
    struct series_range range;
    if (!charts_series_key(request, &key) || !read_page(request, &page)) {
        return;
    }
    struct series_window window = window_of(&page);
    if (!charts_answer_unchanged(request, &key, &window) &&
        answer_page(request, &key, &page, &window, &range)) {
        charts_add_version(request, &range.series, &window);
    }
}

/* What the requests of one body may have together. */
struct budget {
    int64_t points;
    size_t bytes;
};

static const struct budget whole_budget = {COUNT_MAXIMUM, CHARTS_ANSWER_MAXIMUM};

/* Answers one query of a body; the query is request->json, and `key` has owner and chart. The budget
 * must have all points that the query asks for. The bytes of its page are taken from the budget
 * afterwards: once they are used up a page has one point. */
static void answer_query(struct request *request, struct series_key *key, struct budget *budget)
{
    if (request_refuse_unbuilt(request)) {
        return;
    }
    const char *pane = charts_member_name(request, "pane_id", "paneId");
    const char *series = charts_member_name(request, "series_id", "seriesId");
    key->pane = field_integer(request, pane, FIELD_REQUIRED, 0, CHARTS_PANE_MAXIMUM, 0);
    key->id = field_text(request, series, FIELD_REQUIRED, 1, 128);
    struct page page;
    struct series_range range;
    if (!read_page(request, &page) || !charts_check_id(request, "body", series, key->id)) {
        return;
    }
    struct series_window window = window_of(&page);
    if (window.limit > budget->points) {
        refuse_number(request, &page.count, "count of all requests together must be at most 10000",
                      "out_of_range");
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    budget->points -= window.limit;
    window.bytes = budget->bytes;
    if (answer_page(request, key, &page, &window, &range)) {
        budget->bytes -= range.length < budget->bytes ? range.length : budget->bytes - 1;
    }
}

/* --- Several at once ---------------------------------------------------------------------- */

/* Appends what was answered to the item and makes the request ready for the next one. False when
 * that is the answer to all of them: an outage is none of an item. */
static bool take_answer(struct request *request, struct buffer *results)
{
    struct response *response = &request->response;
    if (response->status >= 500 || buffer_status(&response->body) != STATUS_OK) {
        return false;
    }
    if (results->length > 0) {
        buffer_append_char(results, ',');
    }
    buffer_append(results, response->body.data, response->body.length);
    buffer_reset(&response->headers);
    response->error_word = NULL;
    request->field_errors = NULL;
    return true;
}

static void answer_queries(struct request *request, const struct series_key *key,
                           const struct json_node *list)
{
    struct buffer results;
    buffer_init(&results, request->response.body.maximum);
    bool is_going_on = true;
    struct budget budget = whole_budget;
    for (const struct json_node *item = json_first(list); item != NULL && is_going_on;
         item = json_next(item)) {
        struct series_key item_key = *key;
        request->json = item;
        answer_query(request, &item_key, &budget);
        is_going_on = take_answer(request, &results);
    }
    if (is_going_on && buffer_status(&results) != STATUS_OK) {
        problem_answer_status(request, STATUS_NO_MEMORY);
    } else if (is_going_on) {
        struct json_writer *json = response_json(request, 200);
        json_write_object_begin(json);
        json_write_name(json, "results");
        json_write_array_begin(json);
        json_write_raw(json, (struct slice){results.data, results.length});
        json_write_array_end(json);
        json_write_object_end(json);
    }
    buffer_release(&results);
}

void charts_query_history(struct request *request)
{
    struct series_key key;
    if (!charts_series_key(request, &key)) {
        return;
    }
    const struct json_node *list = json_member(request->json, "requests");
    if (list == NULL) {
        struct budget budget = whole_budget;
        answer_query(request, &key, &budget);
        return;
    }
    if (json_node_kind(list) != JSON_ARRAY) {
        problem_add_field(request, "body", "requests", "Input should be a valid list", "list_type");
    } else if (json_count(list) < 1 || json_count(list) > REQUESTS_MAXIMUM) {
        problem_add_field(request, "body", "requests", "List should have 1 to 20 items",
                          "list_length");
    }
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    answer_queries(request, &key, list);
}
