/*
 * config/kinds: the rules that single texts keep: "<cidr>", "<origin>", … in the tables.
 *
 * Each rule either refuses a text or gives its normal form, the one spelling that the rest of the
 * code compares with. Pure functions.
 */
#include "config/internal.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/rate.h"
#include "config/budget.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_visible(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < 0x21 || text.data[i] > 0x7e) {
            return false;
        }
    }
    return text.length > 0;
}

bool config_is_plain_text(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c < 0x20 || c == 0x7f) {
            return false;
        }
    }
    return text.length == 0 || text_is_utf8(text.data, text.length);
}

static enum status copy(struct arena *arena, struct slice text, const char **out)
{
    *out = arena_copy(arena, text.data, text.length);
    return *out != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status copy_in_lower_case(struct arena *arena, struct slice text, const char **out)
{
    char *lower = arena_copy(arena, text.data, text.length);

    *out = lower;
    if (lower == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (; *lower != '\0'; lower++) {
        if (*lower >= 'A' && *lower <= 'Z') {
            *lower = (char)(*lower - 'A' + 'a');
        }
    }
    return STATUS_OK;
}

static struct slice without_front(struct slice text, size_t count)
{
    return (struct slice){text.data + count, text.length - count};
}

/* --- Names and words ------------------------------------------------------------------------ */

/* RFC 9110 section 5.6.2 */
static enum status check_token(struct arena *arena, struct slice text, const char **out,
                               struct config_problem *problem)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];

        if (!is_letter(c) && !is_digit(c) && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) {
            return config_blame(problem, text, "is not a name as HTTP allows it");
        }
    }
    return copy(arena, text, out);
}

static enum status check_key(struct arena *arena, struct slice text, const char **out,
                             struct config_problem *problem)
{
    if (!is_visible(text) || text.length > 512) {
        return config_blame(
            problem, text,
            "holds a key that is empty, longer than 512 bytes, or has spaces or bytes "
            "beyond ASCII in it");
    }
    return copy(arena, text, out);
}

static enum status check_provider(struct arena *arena, struct slice text, const char **out,
                                  struct config_problem *problem)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];

        if (!is_letter(c) && !is_digit(c) && c != '_' && c != '-') {
            return config_blame(problem, text, "is not the name of a provider");
        }
    }
    return copy_in_lower_case(arena, text, out);
}

static enum status check_boolean(struct arena *arena, struct slice text, const char **out,
                                 struct config_problem *problem)
{
    bool value;

    (void)arena;
    if (text_parse_boolean(text, &value) != STATUS_OK) {
        return config_blame(problem, text, "is neither true nor false");
    }
    *out = value ? "true" : "false";
    return STATUS_OK;
}

/* --- Paths of URLs -------------------------------------------------------------------------- */

static enum status check_route(struct arena *arena, struct slice text, const char **out,
                               struct config_problem *problem)
{
    if (!is_visible(text) || text.data[0] != '/') {
        return config_blame(problem, text, "is not a path that begins with '/'");
    }
    return copy(arena, text, out);
}

static enum status check_path(struct arena *arena, struct slice text, const char **out,
                              struct config_problem *problem)
{
    if (text.length == 0) {
        return config_blame(problem, text, "is not a path");
    }
    return copy(arena, text, out);
}

static enum status check_prefix(struct arena *arena, struct slice text, const char **out,
                                struct config_problem *problem)
{
    if (!is_visible(text) || text.data[0] != '/' || text.data[text.length - 1] == '/') {
        return config_blame(problem, text, "is not a path that begins but does not end with '/'");
    }
    return copy(arena, text, out);
}

/* --- Addresses ------------------------------------------------------------------------------ */

/* A name, an IPv4 address, or an IPv6 address in brackets. */
static bool is_host(struct slice text)
{
    bool is_bracketed = text.length > 2 && text.data[0] == '[';
    size_t end = is_bracketed ? text.length - 1 : text.length;

    if (is_bracketed && text.data[end] != ']') {
        return false;
    }
    for (size_t i = is_bracketed ? 1 : 0; i < end; i++) {
        char c = text.data[i];

        if (is_bracketed ? !(is_letter(c) || is_digit(c) || c == ':' || c == '.')
                         : !(is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_')) {
            return false;
        }
    }
    return text.length > 0 && text.length <= 255;
}

/* Takes ":8080" off the end of *authority; *port stays empty when there is none. */
static bool split_port(struct slice *authority, struct slice *port)
{
    size_t i = authority->length;

    while (i > 0 && is_digit(authority->data[i - 1])) {
        i--;
    }
    *port = (struct slice){authority->data + authority->length, 0};
    if (i > 0 && authority->data[i - 1] == ':') {
        int64_t number;

        *port = without_front(*authority, i);
        authority->length = i - 1;
        return text_parse_integer(*port, &number) == STATUS_OK && number >= 1 && number <= 65535;
    }
    return true;
}

static enum status check_host(struct arena *arena, struct slice text, const char **out,
                              struct config_problem *problem)
{
    struct slice host = slice_starts_with(text, "*.") ? without_front(text, 2) : text;

    if (!slice_equals(text, "*") && !is_host(host)) {
        return config_blame(problem, text, "is not a host name without port, *.name or *");
    }
    return copy_in_lower_case(arena, text, out);
}

static enum status check_bind(struct arena *arena, struct slice text, const char **out,
                              struct config_problem *problem)
{
    unsigned char address[sizeof(struct in6_addr)];

    *out = arena_copy(arena, text.data, text.length);
    if (*out == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (!is_host(text) && inet_pton(AF_INET6, *out, address) != 1) {
        return config_blame(problem, text, "is not an address or a name to listen on");
    }
    return STATUS_OK;
}

static enum status check_cidr(struct arena *arena, struct slice text, const char **out,
                              struct config_problem *problem)
{
    unsigned char address[sizeof(struct in6_addr)];
    const char *slash = memchr(text.data, '/', text.length);
    size_t length = slash != NULL ? (size_t)(slash - text.data) : text.length;
    const char *host = arena_copy(arena, text.data, length);
    int64_t most = 0;

    if (host == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (strlen(host) == length) {
        most = inet_pton(AF_INET, host, address) == 1    ? 32
               : inet_pton(AF_INET6, host, address) == 1 ? 128
                                                         : 0;
    }
    if (most > 0 && slash != NULL) {
        int64_t bits;

        if (text_parse_integer(without_front(text, length + 1), &bits) != STATUS_OK || bits < 0 ||
            bits > most) {
            most = 0;
        }
    }
    if (most == 0) {
        return config_blame(problem, text, "is not an IP address or network (10.0.0.0/8)");
    }
    return copy_in_lower_case(arena, text, out);
}

/* Splits "scheme://rest"; the scheme is one of RFC 3986 section 3.1. */
static bool split_scheme(struct slice text, struct slice *scheme, struct slice *rest)
{
    size_t i = 0;

    while (i < text.length &&
           (is_letter(text.data[i]) || (i > 0 && (is_digit(text.data[i]) || text.data[i] == '+' ||
                                                  text.data[i] == '-' || text.data[i] == '.')))) {
        i++;
    }
    *scheme = (struct slice){text.data, i};
    *rest = without_front(text, i);
    if (i == 0 || !slice_starts_with(*rest, "://")) {
        return false;
    }
    *rest = without_front(*rest, 3);
    return true;
}

/* The serialised form of an origin (Fetch, "serializing a request origin"): lower case, without
 * the scheme's own port and without a slash. */
static enum status check_origin(struct arena *arena, struct slice text, const char **out,
                                struct config_problem *problem)
{
    struct slice scheme;
    struct slice host;
    struct slice port;
    bool is_own_port;
    bool is_valid;

    if (slice_equals(text, "*") || slice_equals(text, "null")) {
        return copy(arena, text, out);
    }
    is_valid = split_scheme(text, &scheme, &host);
    if (is_valid && host.length > 0 && host.data[host.length - 1] == '/') {
        host.length--;
    }
    if (!is_valid || !split_port(&host, &port) || !is_host(host)) {
        return config_blame(problem, text, "is not an origin (https://app.example.com) or *");
    }
    is_own_port = (slice_equals_ignoring_case(scheme, "http") && slice_equals(port, "80")) ||
                  (slice_equals_ignoring_case(scheme, "https") && slice_equals(port, "443"));
    text.length = (size_t)(host.data + host.length - text.data);
    if (port.length > 0 && !is_own_port) {
        text.length += 1 + port.length;
    }
    return copy_in_lower_case(arena, text, out);
}

static enum status check_url(struct arena *arena, struct slice text, const char **out,
                             struct config_problem *problem)
{
    struct slice scheme;
    struct slice rest;

    if (!is_visible(text) || !split_scheme(text, &scheme, &rest) || rest.length == 0 ||
        rest.data[0] == '/' ||
        (!slice_equals_ignoring_case(scheme, "http") &&
         !slice_equals_ignoring_case(scheme, "https"))) {
        return config_blame(problem, text, "is not an http or https URL");
    }
    return copy(arena, text, out);
}

/* --- Services and databases ----------------------------------------------------------------- */

static bool is_service_name(struct slice name)
{
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];

        if (!is_letter(c) && !is_digit(c) && c != '_' && c != '-' && c != '.') {
            return false;
        }
    }
    return name.length > 0;
}

/* Only the form: which names are free is known where the routes of health are. */
static enum status check_service(struct arena *arena, struct slice text, const char **out,
                                 struct config_problem *problem)
{
    static const char *const schemes[] = {
        "http://", "https://", "tcp://", "unix:", "redis://", "postgresql://", "postgres://"};
    struct slice url = text;
    struct slice name;

    if (memchr(text.data, '=', text.length) == NULL || !slice_split(&url, '=', &name) ||
        !is_visible(text)) {
        return config_blame(problem, text, "is not of the form NAME=URL");
    }
    if (!is_service_name(name)) {
        return config_blame(problem, name, "is not the name of a service");
    }
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (slice_starts_with(url, schemes[i]) && url.length > strlen(schemes[i])) {
            return copy(arena, text, out);
        }
    }
    return config_blame(problem, name,
                        "has no URL with http, https, tcp, unix, redis or postgresql");
}

static enum status check_redis(struct arena *arena, struct slice text, const char **out,
                               struct config_problem *problem)
{
    static const char *const schemes[] = {"redis", "rediss", "unix"};
    struct slice scheme;
    struct slice rest;

    if (is_visible(text) && split_scheme(text, &scheme, &rest) && rest.length > 0) {
        for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
            if (slice_equals_ignoring_case(scheme, schemes[i])) {
                return copy(arena, text, out);
            }
        }
    }
    return config_blame(problem, text, "is not a redis, rediss or unix URL");
}

/* "sqlite:FILE" of what stands behind "sqlite+driver:". As SQLAlchemy reads it, three slashes
 * begin a relative path and four an absolute one. */
static enum status settle_sqlite(struct arena *arena, struct slice text, struct slice rest,
                                 const char **out, struct config_problem *problem)
{
    if (slice_starts_with(rest, "//")) {
        const char *query = memchr(rest.data, '?', rest.length);

        if (!slice_starts_with(rest, "///")) {
            return config_blame(problem, text,
                                "needs three slashes before a relative path, four before "
                                "an absolute one");
        }
        if (query != NULL) {
            rest = slice_trim((struct slice){rest.data, (size_t)(query - rest.data)});
        }
        rest = without_front(rest, 3);
    }
    while (slice_starts_with(rest, "//")) {
        rest = without_front(rest, 1); /* "sqlite://…" would be read as a URL again */
    }
    if (rest.length == 0 || slice_equals(rest, ":memory:")) {
        return config_blame(problem, text,
                            "names no file; a database in memory cannot be shared by the programs");
    }
    *out = arena_format(arena, "sqlite:%.*s", (int)rest.length, rest.data);
    return *out != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status check_database(struct arena *arena, struct slice text, const char **out,
                                  struct config_problem *problem)
{
    static const struct {
        const char *scheme;
        const char *dialect;
    } dialects[] = {{"postgresql", "postgresql"},
                    {"postgres", "postgresql"},
                    {"mysql", "mysql"},
                    {"mariadb", "mysql"}};
    struct slice rest = text;
    struct slice scheme;
    struct slice driver;

    if (memchr(text.data, ':', text.length) == NULL || !slice_split(&rest, ':', &scheme)) {
        return config_blame(problem, text, "is not a database URL (sqlite:FILE)");
    }
    driver = scheme;
    if (!slice_split(&driver, '+', &scheme)) {
        return config_blame(problem, text, "is not a database URL (sqlite:FILE)");
    }
    if (slice_equals(scheme, "sqlite")) {
        return settle_sqlite(arena, text, rest, out, problem);
    }
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++) {
        if (slice_equals(scheme, dialects[i].scheme) && slice_starts_with(rest, "//")) {
            *out = arena_format(arena, "%s:%.*s", dialects[i].dialect, (int)rest.length, rest.data);
            return *out != NULL ? STATUS_OK : STATUS_NO_MEMORY;
        }
    }
    return config_blame(problem, text, "is not a sqlite, postgresql or mysql URL");
}

/* --- Times ---------------------------------------------------------------------------------- */

/* Consul's: numbers with units, "90s", "1m30s", "500ms"; a number alone is seconds. */
static enum status check_duration(struct arena *arena, struct slice text, const char **out,
                                  struct config_problem *problem)
{
    static const char *const units[] = {"ms", "h", "m", "s"};
    struct slice rest = text;
    bool is_valid = text.length > 0 && text.length <= 32;

    while (is_valid && rest.length > 0) {
        size_t digits = 0;
        size_t unit = 0;

        while (digits < rest.length && is_digit(rest.data[digits])) {
            digits++;
        }
        rest = without_front(rest, digits);
        while (unit < sizeof units / sizeof units[0] && !slice_starts_with(rest, units[unit])) {
            unit++;
        }
        if (unit < sizeof units / sizeof units[0]) {
            rest = without_front(rest, strlen(units[unit]));
            is_valid = digits > 0;
        } else {
            is_valid = digits == text.length;
        }
    }
    return is_valid ? copy(arena, text, out)
                    : config_blame(problem, text, "is not a time such as 30s or 1m30s");
}

/* --- Rate limits ---------------------------------------------------------------------------- */

static enum status join_limits(struct arena *arena, struct slice text, const char **out,
                               struct config_problem *problem)
{
    struct config_list list;
    enum status status = config_parse_array(arena, text, &list, problem);

    if (status == STATUS_OK && (list.count == 0 || list.items[0][0] == '[')) {
        return config_blame(problem, text, "holds no limit");
    }
    for (size_t i = 0; status == STATUS_OK && i < list.count; i++) {
        *out = i == 0 ? list.items[0] : arena_format(arena, "%s;%s", *out, list.items[i]);
        if (*out == NULL) {
            status = STATUS_NO_MEMORY;
        }
    }
    return status;
}

/* One or several, also as a JSON array, which becomes one text. */
static enum status check_limit(struct arena *arena, struct slice text, const char **out,
                               struct config_problem *problem)
{
    struct rate rates[RATE_LIST_MAXIMUM];
    size_t count;
    bool is_array = text.length > 0 && text.data[0] == '[';
    enum status status = is_array ? join_limits(arena, text, out, problem) : copy(arena, text, out);

    if (status == STATUS_OK &&
        rate_parse_list(slice_of(*out), rates, RATE_LIST_MAXIMUM, &count) != STATUS_OK) {
        return config_blame(problem, text, "is not a rate limit such as 10/minute");
    }
    return status;
}

/* --- Budgets --------------------------------------------------------------------------------- */

static enum status check_budget(struct arena *arena, struct slice text, const char **out,
                                struct config_problem *problem)
{
    struct budget_limits limits;
    return budget_parse(text, &limits) == STATUS_OK
               ? copy(arena, text, out)
               : config_blame(problem, text, "is not a budget such as 1.50/day;10/month");
}

/* --- The table ------------------------------------------------------------------------------ */

static const struct {
    const char *bounds;
    enum status (*check)(struct arena *arena, struct slice text, const char **out,
                         struct config_problem *problem);
    const char *description;
} kinds[] = {{"<bind>", check_bind, "address or name"},
             {"<boolean>", check_boolean, "true or false"},
             {"<budget>", check_budget, "budget in US dollars"},
             {"<cidr>", check_cidr, "address or network"},
             {"<database>", check_database, "database URL"},
             {"<duration>", check_duration, "time"},
             {"<host>", check_host, "host name"},
             {"<key>", check_key, "key"},
             {"<limit>", check_limit, "rate limit"},
             {"<origin>", check_origin, "origin"},
             {"<path>", check_path, "path"},
             {"<prefix>", check_prefix, "path without a slash at the end"},
             {"<provider>", check_provider, "provider"},
             {"<redis>", check_redis, "Redis URL"},
             {"<route>", check_route, "path of a URL"},
             {"<service>", check_service, "NAME=URL"},
             {"<token>", check_token, "HTTP name"},
             {"<url>", check_url, "http or https URL"}};

const char *config_kind_text(const char *bounds)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(bounds, kinds[i].bounds) == 0) {
            return kinds[i].description;
        }
    }
    return NULL;
}

static enum status check_words(const char *words, struct arena *arena, struct slice text,
                               const char **out, struct config_problem *problem)
{
    struct slice rest = slice_of(words);
    struct slice word;
    const char *phrase;

    while (slice_split(&rest, '|', &word)) {
        if (word.length == text.length && strncasecmp(word.data, text.data, word.length) == 0) {
            return copy(arena, word, out);
        }
    }
    phrase = arena_format(arena, "is not one of %s", words);
    return phrase != NULL ? config_blame(problem, text, phrase) : STATUS_NO_MEMORY;
}

enum status config_check_text(const char *bounds, struct arena *arena, struct slice text,
                              const char **out, struct config_problem *problem)
{
    if (!config_is_plain_text(text)) {
        return config_blame(problem, text, "holds a control character or is not valid UTF-8");
    }
    if (bounds[0] == '\0') {
        return copy(arena, text, out);
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(bounds, kinds[i].bounds) == 0) {
            return kinds[i].check(arena, text, out, problem);
        }
    }
    return check_words(bounds, arena, text, out, problem);
}
