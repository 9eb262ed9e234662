/*
 * Fuzz target of the pipeline: any path, query, headers and body. The input is CGI variables as
 * NAME=value, each ended by a NUL; after an empty one the rest is the body.
 *
 * Promises that must hold whatever the input: there is one well-formed answer; it is never 5xx;
 * it carries a correlation id and errors are valid JSON; what reaches a handler is UTF-8; nothing
 * of the request becomes a header line of its own.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "http/app.h"
#include "http/fields.h"
#include "http/request.h"
#include "transport/loopback.h"
#include "json/json.h"

#define PARAMETER_MAXIMUM 64
#define MEMORY            ((size_t)64 << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/tmp/quintet-fuzz-XXXXXX";
static struct app *open_app;   /* everything allowed */
static struct app *strict_app; /* hosts, proxies, origins, HTTPS */

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

/* --- What handlers see ---------------------------------------------------------------------- */

static void check_text(struct slice text)
{
    require(text_is_utf8(text.data, text.length));
    require(text.data[text.length] == '\0' && strlen(text.data) == text.length);
}

static void check_request(struct request *request)
{
    check_text(request->path.length > 0 ? slice_of(request->path.data) : slice_of(""));
    for (size_t i = 0; i < request->query_count; i++) {
        check_text(request->query[i].name);
        check_text(request->query[i].value);
    }
    for (size_t i = 0; i < request->match.value_count; i++) {
        require(request->match.values[i].length > 0);
        check_text(request->match.values[i]);
        require(memchr(request->match.values[i].data, '/', request->match.values[i].length) ==
                NULL);
    }
    require(request->client_address != NULL && request->client_address[0] != '\0');
    char traceparent[CONTEXT_TRACEPARENT_SIZE];
    if (context_traceparent(context_current(), traceparent)) {
        require(strlen(traceparent) == 55 && strspn(traceparent, "0123456789abcdef-") == 55);
    }
}

static void echo(struct request *request)
{
    struct slice value = {"", 0};
    check_request(request);
    (void)request_query(request, "a", &value);
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_slice(json, "a", value);
    json_write_member_slice(json, "path", request->path);
    json_write_member_text(json, "client", request->client_address);
    json_write_object_end(json);
}

static void read_fields(struct request *request)
{
    check_request(request);
    const char *text = field_text(request, "text", FIELD_REQUIRED, 1, 10);
    (void)field_email(request, "email", FIELD_OPTIONAL);
    (void)field_integer(request, "number", FIELD_OPTIONAL, 1, 9, 1);
    (void)field_boolean(request, "boolean", FIELD_OPTIONAL, false);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    check_text(slice_of(text));
    response_empty(request, 204);
}

static const struct route routes[] = {
    {HTTP_GET, "/open", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_POST, "/open", read_fields, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_JSON, 0},
    {HTTP_GET, "/things/{id}", echo, FAMILY_DEFAULT, ACCESS_OPTIONAL, BODY_NONE, 0},
    {HTTP_PUT, "/things/{id}/{part}", echo, FAMILY_CHAT, ACCESS_PUBLIC, BODY_RAW, ROUTE_INGEST},
    {HTTP_GET, "/private", echo, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_NONE, 0},
    {HTTP_POST, "/v1/fields", read_fields, FAMILY_CHAT, ACCESS_PUBLIC, BODY_JSON, ROUTE_OPENAI},
    {HTTP_GET, "/v1/models", echo, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_NONE, ROUTE_OPENAI},
};

/* --- What clients see ----------------------------------------------------------------------- */

/* Every name our answers may have; a request that can add one has broken out of a value. */
static bool is_known_header(struct slice name)
{
    static const char *const names[] = {"Status",
                                        "Content-Type",
                                        "Content-Length",
                                        "Cache-Control",
                                        "X-Content-Type-Options",
                                        "Referrer-Policy",
                                        "Content-Security-Policy",
                                        "X-Frame-Options",
                                        "Cross-Origin-Resource-Policy",
                                        "Strict-Transport-Security",
                                        "X-Correlation-ID",
                                        "X-Request-ID",
                                        "X-RateLimit-Limit",
                                        "X-RateLimit-Remaining",
                                        "X-RateLimit-Reset",
                                        "RateLimit-Policy",
                                        "RateLimit",
                                        "Vary",
                                        "Access-Control-Allow-Origin",
                                        "Access-Control-Allow-Credentials",
                                        "Access-Control-Allow-Methods",
                                        "Access-Control-Allow-Headers",
                                        "Access-Control-Expose-Headers",
                                        "Access-Control-Max-Age",
                                        "Allow",
                                        "Location",
                                        "WWW-Authenticate",
                                        "x-should-retry"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_equals(name, names[i])) {
            return true;
        }
    }
    return false;
}

static void check_head(const char *text, const char *end)
{
    unsigned correlation_ids = 0;
    for (const char *line = text; line < end;) {
        const char *line_end = strstr(line, "\r\n");
        const char *colon = memchr(line, ':', (size_t)(line_end - line));
        require(colon != NULL && colon[1] == ' ');
        struct slice name = {line, (size_t)(colon - line)};
        require(is_known_header(name));
        for (const char *byte = colon; byte < line_end; byte++) {
            require(*byte != '\r' && *byte != '\n');
        }
        correlation_ids += slice_equals(name, "X-Correlation-ID");
        correlation_ids += slice_equals(name, "X-Request-ID");
        line = line_end + 2;
    }
    require(correlation_ids == 2);
}

static void check_answer(const struct buffer *answer, bool is_head)
{
    const char *text = buffer_text(answer);
    const char *end = strstr(text, "\r\n\r\n");
    require(strncmp(text, "Status: ", 8) == 0 && end != NULL && end - text < 4096 - 4);
    int64_t status = 0;
    require(text_parse_integer((struct slice){text + 8, strcspn(text + 8, " ")}, &status) ==
            STATUS_OK);
    require(status >= 200 && status < 500);
    check_head(text, end + 2);
    struct slice body = {end + 4, answer->length - (size_t)(end + 4 - text)};
    if (is_head || status == 204 || status == 308) {
        require(body.length == 0);
        return;
    }
    struct arena arena;
    arena_init(&arena, MEMORY);
    require(text_is_utf8(body.data, body.length));
    require(json_validate(body, &arena) == STATUS_OK);
    arena_destroy(&arena);
}

/* --- Programs ------------------------------------------------------------------------------- */

static const struct app_options options = {
    .program = "fuzz",
    .routes = routes,
    .route_count = sizeof routes / sizeof routes[0],
    .uses_storage = true,
};

static struct app *open_program(const char *name, const char *const *settings)
{
    char state[64];
    const char *environment[16] = {state,
                                   "LOG_FILE=/dev/null",
                                   "ENVIRONMENT=development",
                                   "API_KEYS=fuzz-key",
                                   "API_KEY_QUERY=key",
                                   "RATE_LIMIT_DEFAULT=1000000000/second",
                                   "RATE_LIMIT_CHAT=1000000000/second"};
    for (size_t i = 7; *settings != NULL; i++) {
        environment[i] = *settings++;
    }
    snprintf(state, sizeof state, "STATE_DIR=%s/%s", directory, name);
    struct config *config = NULL;
    struct app *app = NULL;
    struct buffer problem;
    buffer_init(&problem, 4096);
    if (config_load_from(&config, environment, NULL, &problem) != STATUS_OK ||
        config_settle(config, &problem) != STATUS_OK ||
        app_open(&app, &options, config, &problem) != STATUS_OK) {
        fprintf(stderr, "%s\n", buffer_text(&problem));
        abort();
    }
    buffer_release(&problem);
    return app;
}

static int remove_entry(const char *path, const struct stat *information, int type,
                        struct FTW *walk)
{
    (void)information;
    (void)type;
    (void)walk;
    return remove(path);
}

static void close_programs(void)
{
    app_close(open_app);
    app_close(strict_app);
    nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    require(mkdtemp(directory) != NULL);
    static const char *const nothing[] = {NULL};
    static const char *const strict[] = {"ALLOWED_HOSTS=api.example,*.wild.example",
                                         "HTTPS_REDIRECT=true",
                                         "TRUSTED_PROXIES=10.0.0.0/8,fd00::/8",
                                         "CORS_ORIGINS=http://a.example",
                                         "CORS_ALLOW_CREDENTIALS=true",
                                         "MAX_BODY_SIZE=1K",
                                         NULL};
    open_app = open_program("open", nothing);
    strict_app = open_program("strict", strict);
    atexit(close_programs);
    return 0;
}

static void run(struct app *app, const char *const *parameters, struct slice body)
{
    struct exchange_handlers handlers = app_handlers(app);
    struct buffer answer;
    bool is_head = false;
    for (size_t i = 0; parameters[i] != NULL; i++) {
        if (strncmp(parameters[i], "REQUEST_METHOD=", 15) == 0) {
            is_head = strcmp(parameters[i] + 15, "HEAD") == 0;
            break; /* the first one counts */
        }
    }
    buffer_init(&answer, MEMORY);
    require(loopback_run(&handlers, parameters, body, &answer) == STATUS_OK);
    check_answer(&answer, is_head);
    buffer_release(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *parameters[PARAMETER_MAXIMUM + 1];
    size_t count = 0;
    size_t at = 0;
    char *text = malloc(size + 1);
    require(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    while (at < size && text[at] != '\0' && count < PARAMETER_MAXIMUM) {
        parameters[count++] = text + at;
        at += strlen(text + at) + 1;
    }
    parameters[count] = NULL;
    at = at < size ? at + 1 : size;
    struct slice body = {text + at, size - at};
    run(open_app, parameters, body);
    run(strict_app, parameters, body);
    free(text);
    return 0;
}
