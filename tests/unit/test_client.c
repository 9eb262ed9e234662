/* Who connects, from where, and how often: hosts, proxies, origins, limits. */
#include "../torture/torture.h"

static void echo(struct request *request)
{
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "client", request->client_address);
    json_write_member_text(json, "scheme", request->is_https ? "https" : "http");
    json_write_member_text(json, "principal", request->principal.id);
    json_write_object_end(json);
}

static const struct route routes[] = {
    {HTTP_GET, "/open", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_POST, "/open", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_GET, "/free", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/health", echo, FAMILY_HEALTH, ACCESS_PUBLIC, BODY_NONE, ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/health/{part}", echo, FAMILY_HEALTH, ACCESS_PUBLIC, BODY_NONE, ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/ready", echo, FAMILY_HEALTH, ACCESS_PUBLIC, BODY_NONE, ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/metrics", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/own/metrics", echo, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/charts", echo, FAMILY_CHARTS, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_GET, "/private", echo, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_NONE, 0},
    {HTTP_GET, "/private/too", echo, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_NONE, 0},
    {HTTP_GET, "/optional", echo, FAMILY_CHAT, ACCESS_OPTIONAL, BODY_NONE, 0},
};

static const struct app_options options = {
    .program = "test",
    .routes = routes,
    .route_count = COUNT(routes),
};

static int set_up(void **state)
{
    return pipeline_set_up_with(state, &options);
}

/* --- Hosts and HTTPS ------------------------------------------------------------------------ */

static void only_allowed_hosts_are_served(void **state)
{
    static const struct {
        const char *host;
        int status;
    } cases[] = {
        {"HTTP_HOST=api.example", 200},
        {"HTTP_HOST=API.Example:8443", 200},
        {"HTTP_HOST=a.wild.example", 200},
        {"HTTP_HOST=a.b.wild.example:1", 200},
        {"HTTP_HOST=wild.example", 400},
        {"HTTP_HOST=.wild.example", 400},
        {"HTTP_HOST=evilwild.example", 400},
        {"HTTP_HOST=api.example.evil.example", 400},
        {"HTTP_HOST=evil.example", 400},
        {"HTTP_HOST=evil.example:api.example", 400},
        {"HTTP_HOST=api.example:@evil.example", 400},
        {"HTTP_HOST=api.example:80x", 400},
        {"HTTP_HOST=api.example/", 400},
        {"HTTP_HOST=", 400},
    };
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("ALLOWED_HOSTS=api.example,*.wild.example"));
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_answers(pipeline, CALL(.path = "/open", .cgi = {cases[i].host}), cases[i].status);
    }
    assert_answers(pipeline, CALL(.path = "/open"), 400);
}

static void a_redirect_repeats_only_what_fits_a_header(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(
        pipeline, &options,
        SETTINGS("HTTPS_REDIRECT=true", "ALLOWED_HOSTS=api.example,*.wild.example,[::1]"));
    assert_answers(pipeline,
                   CALL(.path = "/open", .cgi = {"HTTP_HOST=[::1]:80", "REQUEST_URI=/open?a=%20"}),
                   308);
    assert_header(pipeline, "Location", "https://[::1]/open?a=%20");
    static const char *const ports[][2] = {
        {"HTTP_HOST=api.example:80", "https://api.example/"},
        {"HTTP_HOST=api.example", "https://api.example/"},
        {"HTTP_HOST=api.example:8080", "https://api.example:8080/"},
        {"HTTP_HOST=[::1]:800", "https://[::1]:800/"},
        {"HTTP_HOST=a.wild.example", "https://a.wild.example/"},
    };
    for (size_t i = 0; i < COUNT(ports); i++) {
        assert_answers(pipeline, CALL(.path = "/", .cgi = {ports[i][0], "REQUEST_URI=/"}), 308);
        assert_header(pipeline, "Location", ports[i][1]);
    }
    assert_int_equal(pipeline->body.length, 0);
    /* The absolute form names a host too, which nobody has allowed. */
    assert_answers(
        pipeline,
        CALL(.path = "/", .cgi = {"HTTP_HOST=api.example", "REQUEST_URI=http://evil.example/a?b"}),
        308);
    assert_header(pipeline, "Location", "https://api.example/a?b");
    char target[4000] = "REQUEST_URI=/";
    memset(target + strlen(target), 'a', sizeof target - strlen(target) - 1);
    const char *const unfit[][2] = {
        {"HTTP_HOST=api.example", target},
        {"HTTP_HOST=api.example", "REQUEST_URI=/\r\nX-Evil: 1"},
        {"HTTP_HOST=api.example\r\nX-Evil: 1", "REQUEST_URI=/"},
        {"HTTP_HOST=api.example:80@evil.example", "REQUEST_URI=/"},
        {"HTTP_HOST=evil.example", "REQUEST_URI=/"},
        {"HTTP_HOST=", "REQUEST_URI=/"},
    };
    for (size_t i = 0; i < COUNT(unfit); i++) {
        assert_refused(pipeline, CALL(.path = "/open", .cgi = {unfit[i][0], unfit[i][1]}), 400,
                       "invalid_request");
        assert_header(pipeline, "Location", NULL);
    }
}

/* "*" allows every host, and whoever sends the request chooses it: no reason to send others there. */
static void a_redirect_goes_to_a_host_that_the_settings_name(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const settings[] = {NULL, "ALLOWED_HOSTS=*", "ALLOWED_HOSTS=*,api.example"};
    for (size_t i = 0; i < COUNT(settings); i++) {
        pipeline_open(pipeline, &options, SETTINGS("HTTPS_REDIRECT=true", settings[i]));
        assert_refused(
            pipeline, CALL(.path = "/open", .cgi = {"HTTP_HOST=evil.example", "REQUEST_URI=/open"}),
            400, "invalid_request");
        assert_member(pipeline, "message", "HTTPS is required");
        assert_header(pipeline, "Location", NULL);
    }
    assert_answers(pipeline,
                   CALL(.path = "/open", .cgi = {"HTTP_HOST=api.example", "REQUEST_URI=/open"}),
                   308);
    assert_header(pipeline, "Location", "https://api.example/open");
}

/* Whoever probes asks by address and without TLS, past whatever is in front. */
static void probes_and_metrics_need_neither_a_host_nor_https(void **state)
{
    static const char *const probes[] = {
        "/health", "/health/", "/health/live",        "/health/all",
        "/ready",  "/metrics", "/api/v1/health/live", "/own/metrics/"};
    static const char *const others[] = {"/open",     "/healthy",         "/readyness",
                                         "/x/health", "/api/v1/metricsx", "/"};
    struct pipeline *pipeline = *state;
    pipeline_open(
        pipeline, &options,
        SETTINGS("HTTPS_REDIRECT=true", "ALLOWED_HOSTS=api.example", "METRICS_PATH=/own/metrics"));
    for (size_t i = 0; i < COUNT(probes); i++) {
        assert_answers(pipeline, CALL(.path = probes[i], .cgi = {"HTTP_HOST=10.0.0.7:8080"}), 200);
        assert_answers(pipeline, CALL(.path = probes[i]), 200);
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_answers(pipeline, CALL(.path = others[i], .cgi = {"HTTP_HOST=10.0.0.7:8080"}), 400);
        assert_answers(pipeline, CALL(.path = others[i], .cgi = {"HTTP_HOST=api.example"}), 308);
    }
    /* The program of the metrics port, whatever is asked for. */
    static struct app_options scraped;
    scraped = options;
    scraped.answers_probes = true;
    pipeline_open(pipeline, &scraped, SETTINGS("HTTPS_REDIRECT=true", "ALLOWED_HOSTS=api.example"));
    assert_answers(pipeline, CALL(.path = "/open"), 200);
    assert_answers(pipeline, CALL(.path = "/nothing", .cgi = {"HTTP_HOST=10.0.0.7"}), 404);
}

static void the_scheme_is_believed_from_trusted_proxies_only(void **state)
{
    static const struct {
        const char *address;
        const char *scheme;
        const char *https;
        int status;
    } cases[] = {
        {"REMOTE_ADDR=10.1.2.3", "HTTP_X_FORWARDED_PROTO=https", "HTTPS=", 200},
        {"REMOTE_ADDR=10.1.2.3", "HTTP_X_FORWARDED_PROTO= HTTPS ", "HTTPS=off", 200},
        {"REMOTE_ADDR=10.1.2.3", "HTTP_X_FORWARDED_PROTO=http", "HTTPS=on", 308},
        {"REMOTE_ADDR=10.1.2.3", "HTTP_X_FORWARDED_PROTO=", "HTTPS=on", 200},
        {"REMOTE_ADDR=10.1.2.3", "HTTP_X_FORWARDED_PROTO=", "HTTPS=", 308},
        {"REMOTE_ADDR=10.1.2.3", "HTTP_X_FORWARDED_PROTO=https, https", "HTTPS=", 200},
        {"REMOTE_ADDR=10.1.2.3", "HTTP_X_FORWARDED_PROTO=http,HTTPS", "HTTPS=", 200},
        {"REMOTE_ADDR=10.1.2.3", "HTTP_X_FORWARDED_PROTO=https,http", "HTTPS=on", 308},
        {"REMOTE_ADDR=10.1.2.3", "HTTP_X_FORWARDED_PROTO=http, \"https\" ,", "HTTPS=", 200},
        {"REMOTE_ADDR=10.1.2.3", "HTTP_X_FORWARDED_PROTO= , ", "HTTPS=on", 200},
        {"REMOTE_ADDR=10.1.2.3", "HTTP_X_FORWARDED_PROTO=httpsx", "HTTPS=", 308},
        {"REMOTE_ADDR=::ffff:10.1.2.3", "HTTP_X_FORWARDED_PROTO=https", "HTTPS=", 200},
        {"REMOTE_ADDR=192.0.2.1", "HTTP_X_FORWARDED_PROTO=https", "HTTPS=", 308},
        {"REMOTE_ADDR=192.0.2.1", "HTTP_X_FORWARDED_PROTO=http", "HTTPS=on", 200},
        {"REMOTE_ADDR=192.0.2.1", "HTTP_X_FORWARDED_PROTO=https", "HTTPS=off", 308},
    };
    struct pipeline *pipeline = *state;
    pipeline_open(
        pipeline, &options,
        SETTINGS("HTTPS_REDIRECT=true", "ALLOWED_HOSTS=api.example", "TRUSTED_PROXIES=10.0.0.0/8"));
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_answers(
            pipeline,
            CALL(.path = "/open", .cgi = {cases[i].address, cases[i].scheme, cases[i].https,
                                          "HTTP_HOST=api.example", "REQUEST_URI=/open"}),
            cases[i].status);
        bool is_https = cases[i].status == 200;
        assert_true((answer_header(pipeline, "Strict-Transport-Security") != NULL) == is_https);
    }
}

static void the_client_is_the_last_hop_that_is_not_ours(void **state)
{
    static const struct {
        const char *remote;
        const char *hops;
        const char *client;
    } cases[] = {
        {"REMOTE_ADDR=192.0.2.1", "HTTP_X_FORWARDED_FOR=203.0.113.9", "192.0.2.1"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=", "10.0.0.1"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=203.0.113.9", "203.0.113.9"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.1.1.1, 203.0.113.9", "203.0.113.9"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.1.1.1,203.0.113.9 , 10.0.0.2",
         "203.0.113.9"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=10.0.0.3, 10.0.0.2", "10.0.0.3"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=  ", "10.0.0.1"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=203.0.113.7:17085", "203.0.113.7"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.1.1.1:80,\t203.0.113.7:1 , 10.0.0.2:9",
         "203.0.113.7"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=[2001:DB8:0::7]:4711", "2001:db8::7"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=[2001:db8::7]", "2001:db8::7"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=\"[2001:db8::7]:4711\"", "2001:db8::7"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=\"203.0.113.7\"", "203.0.113.7"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=::ffff:203.0.113.7", "203.0.113.7"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=[::ffff:203.0.113.7]:1", "203.0.113.7"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=203.0.113.7, ::ffff:10.0.0.2",
         "203.0.113.7"},
        {"REMOTE_ADDR=::ffff:203.0.113.7", "HTTP_X_FORWARDED_FOR=", "203.0.113.7"},
        {"REMOTE_ADDR=2001:DB8:0:0::1", "HTTP_X_FORWARDED_FOR=", "2001:db8::1"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=unknown", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.1.1.1, unknown, 10.0.0.2", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.1.1.1, _hidden", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.1.1.1, unix:", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=garbage, 10.0.0.2", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.1.1.1, garbage", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.1.1.1,", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.1.1.1, ,10.0.0.2", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=10.0.0.0/8", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=203.0.113.9/32", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=203.0.113.9:", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=203.0.113.9:80x", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=203.0.113.9:123456", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=[203.0.113.9]:80", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=[2001:db8::7", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=[2001:db8::7]x", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=fe80::1%eth0", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=010.0.0.1", "unknown"},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.2.3", "unknown"},
        {"REMOTE_ADDR=unix:", "HTTP_X_FORWARDED_FOR=203.0.113.9", "unknown"},
        {"REMOTE_ADDR=fd00::1", "HTTP_X_FORWARDED_FOR=2001:db8::1", "2001:db8::1"},
        {"REMOTE_ADDR=::ffff:10.0.0.1", "HTTP_X_FORWARDED_FOR=203.0.113.9", "203.0.113.9"},
        {"REMOTE_ADDR=", "HTTP_X_FORWARDED_FOR=203.0.113.9", "unknown"},
    };
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("TRUSTED_PROXIES=10.0.0.0/8,fd00::/8"));
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_answers(pipeline, CALL(.path = "/open", .cgi = {cases[i].remote, cases[i].hops}),
                       200);
        assert_member(pipeline, "client", cases[i].client);
    }
}

/* Without the word in the log nobody finds out why all clients share one budget and HTTPS redirects
 * for ever. */
static void a_proxy_that_is_not_trusted_is_told_of_once(void **state)
{
    struct pipeline *pipeline = *state;
    static const char *const headers[] = {"HTTP_X_FORWARDED_FOR=203.0.113.9",
                                          "HTTP_X_FORWARDED_PROTO=https"};
    static const char *const names[] = {"\"X-Forwarded-For\"", "\"X-Forwarded-Proto\""};
    for (size_t i = 0; i < 2; i++) {
        pipeline_open(pipeline, &options, SETTINGS("TRUSTED_PROXIES=10.0.0.0/8"));
        assert_answers(pipeline, CALL(.path = "/open"), 200);
        assert_answers(pipeline, CALL(.path = "/open", .cgi = {"REMOTE_ADDR=10.0.0.1", headers[i]}),
                       200);
        assert_int_equal(count_in(pipeline_log(pipeline), "forwarded_header_ignored"), i);
        for (int n = 0; n < 3; n++) {
            assert_answers(pipeline, CALL(.path = "/open", .cgi = {headers[i]}), 200);
        }
        const char *log = pipeline_log(pipeline);
        assert_int_equal(count_in(log, "forwarded_header_ignored"), i + 1);
        assert_int_equal(count_in(log, "\"setting\":\"TRUSTED_PROXIES\""), i + 1);
        assert_int_equal(count_in(log, names[i]), 1);
    }
    assert_int_equal(count_in(pipeline_log(pipeline), "\"level\":\"WARNING\""), 2);
}

/* Behind a web server that joins lines, a second variable is another spelling of the name. */
static void a_forged_line_makes_an_unknown_client_and_no_scheme(void **state)
{
    static const struct {
        const char *first, *second, *mark, *client;
    } cases[] = {
        {"HTTP_X_FORWARDED_FOR=198.51.100.1", "HTTP_X_FORWARDED_FOR=6.6.6.6",
         "HEADER_LINES_JOINED=1", "unknown"},
        {"HTTP_X_FORWARDED_FOR=198.51.100.1", "HTTP_X_FORWARDED_FOR= ", "HEADER_LINES_JOINED=1",
         "198.51.100.1"},
        {"HTTP_X_FORWARDED_FOR=198.51.100.1", "HTTP_X_FORWARDED_FOR=6.6.6.6",
         "HEADER_LINES_JOINED=", "6.6.6.6"},
        {"HTTP_X_FORWARDED_PROTO=http", "HTTP_X_FORWARDED_PROTO=https", "HEADER_LINES_JOINED=1",
         "10.0.0.1"},
    };
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("TRUSTED_PROXIES=10.0.0.0/8"));
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_answers(pipeline,
                       CALL(.path = "/open", .cgi = {"REMOTE_ADDR=10.0.0.1", cases[i].first,
                                                     cases[i].second, cases[i].mark}),
                       200);
        assert_member(pipeline, "client", cases[i].client);
        assert_member(pipeline, "scheme", "http");
    }
}

/* As nginx before 1.23 hands on what a proxy has added as a line of its own. */
static void lines_of_one_header_are_one_list_of_hops(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("TRUSTED_PROXIES=10.0.0.0/8"));
    assert_answers(
        pipeline,
        CALL(.path = "/open", .cgi = {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.1.1.1",
                                      "HTTP_X_FORWARDED_FOR=203.0.113.9"}),
        200);
    assert_member(pipeline, "client", "203.0.113.9");
    assert_answers(pipeline,
                   CALL(.path = "/open",
                        .cgi = {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.1.1.1, 2.2.2.2",
                                "HTTP_X_FORWARDED_FOR=10.0.0.2", "HTTP_X_FORWARDED_FOR=10.0.0.3"}),
                   200);
    assert_member(pipeline, "client", "2.2.2.2");
}

/* --- Origins -------------------------------------------------------------------------------- */

#define ORIGIN    "HTTP_ORIGIN=http://localhost:3000"
#define ASKS_POST "HTTP_ACCESS_CONTROL_REQUEST_METHOD=POST"

static void an_allowed_origin_is_echoed_and_a_foreign_one_ignored(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {ORIGIN}), 200);
    assert_header(pipeline, "Access-Control-Allow-Origin", "http://localhost:3000");
    assert_header(pipeline, "Access-Control-Allow-Credentials", NULL);
    assert_header(pipeline, "Vary", "Origin");
    const char *exposed = answer_header(pipeline, "Access-Control-Expose-Headers");
    static const char *const names[] = {
        "X-Correlation-ID",      "X-Request-ID",      "Retry-After", "X-RateLimit-Limit",
        "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit",   "RateLimit-Policy",
        "retry-after-ms",        "x-should-retry",    "ETag"};
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_non_null(strstr(exposed, names[i]));
    }
    static const char *const foreign[] = {
        "HTTP_ORIGIN=http://localhost:3001", "HTTP_ORIGIN=https://localhost:3000",
        "HTTP_ORIGIN=http://localhost:3000.evil.example", "HTTP_ORIGIN=null"};
    for (size_t i = 0; i < COUNT(foreign); i++) {
        assert_answers(pipeline, CALL(.path = "/open", .cgi = {foreign[i]}), 200);
        assert_header(pipeline, "Access-Control-Allow-Origin", NULL);
        assert_header(pipeline, "Access-Control-Expose-Headers", NULL);
        assert_header(pipeline, "Vary", "Origin");
    }
    /* Errors can be read by the page too. */
    assert_answers(pipeline, CALL(.path = "/private", .cgi = {ORIGIN}), 401);
    assert_header(pipeline, "Access-Control-Allow-Origin", "http://localhost:3000");
}

static void a_preflight_answers_what_was_asked_and_is_allowed(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline,
                   CALL(.method = "OPTIONS", .path = "/open",
                        .cgi = {ORIGIN, ASKS_POST,
                                "HTTP_ACCESS_CONTROL_REQUEST_HEADERS=authorization,X-Evil, "
                                "X-API-Key,,tracestate"}),
                   204);
    assert_header(pipeline, "Access-Control-Allow-Origin", "http://localhost:3000");
    assert_header(pipeline, "Access-Control-Allow-Methods", "POST");
    assert_header(pipeline, "Access-Control-Allow-Headers", "authorization, X-API-Key, tracestate");
    /* Caches must not give one origin's answer, or one question's, to another. */
    assert_string_equal(answer_header_at(pipeline, "Vary", 0), "Origin");
    assert_string_equal(answer_header_at(pipeline, "Vary", 1),
                        "Access-Control-Request-Method, Access-Control-Request-Headers");
    assert_null(answer_header_at(pipeline, "Vary", 2));
    assert_header(pipeline, "Access-Control-Max-Age", "600");
    assert_header(pipeline, "Content-Length", NULL);
    assert_answers(pipeline,
                   CALL(.method = "OPTIONS", .path = "/open",
                        .cgi = {ORIGIN, "HTTP_ACCESS_CONTROL_REQUEST_METHOD=BREW",
                                "HTTP_ACCESS_CONTROL_REQUEST_HEADERS=X-Evil"}),
                   204);
    assert_header(pipeline, "Access-Control-Allow-Methods", NULL);
    assert_header(pipeline, "Access-Control-Allow-Headers", NULL);
    assert_refused(pipeline,
                   CALL(.method = "OPTIONS", .path = "/open",
                        .cgi = {"HTTP_ORIGIN=http://evil.example", ASKS_POST}),
                   403, "permission_denied");
    assert_header(pipeline, "Access-Control-Allow-Origin", NULL);
    assert_header(pipeline, "Vary", "Origin");
    /* Without both headers it is no preflight. */
    assert_answers(pipeline, CALL(.method = "OPTIONS", .path = "/open", .cgi = {ORIGIN}), 405);
    assert_answers(pipeline, CALL(.method = "OPTIONS", .path = "/open", .cgi = {ASKS_POST}), 405);
}

/* What OpenAI's and Anthropic's libraries send from a browser. */
static void headers_of_official_libraries_are_allowed(void **state)
{
    struct pipeline *pipeline = *state;
    static const char asked[] =
        "anthropic-dangerous-direct-browser-access, anthropic-version, authorization, "
        "content-type, OpenAI-Organization, openai-project, x-api-key, x-company-id, "
        "X-Stainless-Arch, x-stainless-lang, x-stainless-os, x-stainless-package-version, "
        "x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, "
        "x-stainless-timeout";
    char header[600];
    snprintf(header, sizeof header,
             "HTTP_ACCESS_CONTROL_REQUEST_HEADERS=x-evil, %s, x-stainlessly, openai, cookie, *",
             asked);
    const struct call *call =
        CALL(.method = "OPTIONS", .path = "/open", .cgi = {ORIGIN, ASKS_POST, header});
    assert_answers(pipeline, call, 204);
    assert_header(pipeline, "Access-Control-Allow-Headers", asked);
    /* "*" stands for the same. */
    pipeline_open(pipeline, &options, SETTINGS("CORS_ALLOW_HEADERS=*"));
    assert_answers(pipeline, call, 204);
    assert_header(pipeline, "Access-Control-Allow-Headers", asked);
    pipeline_open(pipeline, &options, SETTINGS("CORS_ALLOW_HEADERS=X-Own-*,x-one"));
    assert_answers(
        pipeline,
        CALL(.method = "OPTIONS", .path = "/open",
             .cgi = {ORIGIN, ASKS_POST,
                     "HTTP_ACCESS_CONTROL_REQUEST_HEADERS=x-own-a,X-ONE,x-one-b,x-own-"}),
        204);
    assert_header(pipeline, "Access-Control-Allow-Headers", "x-own-a, X-ONE, x-own-");
}

static void preflights_follow_the_settings(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options,
                  SETTINGS("CORS_ORIGINS=*", "CORS_ALLOW_METHODS=GET,PUT",
                           "CORS_ALLOW_HEADERS=X-Own", "CORS_MAX_AGE=5"));
    assert_answers(
        pipeline,
        CALL(.method = "OPTIONS", .path = "/open",
             .cgi = {"HTTP_ORIGIN=http://any.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD=PUT",
                     "HTTP_ACCESS_CONTROL_REQUEST_HEADERS=x-own,authorization"}),
        204);
    assert_header(pipeline, "Access-Control-Allow-Origin", "*");
    assert_header(pipeline, "Access-Control-Allow-Methods", "PUT");
    assert_header(pipeline, "Access-Control-Allow-Headers", "x-own");
    assert_header(pipeline, "Access-Control-Max-Age", "5");
    assert_answers(pipeline,
                   CALL(.method = "OPTIONS", .path = "/open",
                        .cgi = {"HTTP_ORIGIN=http://any.example", ASKS_POST}),
                   204);
    assert_header(pipeline, "Access-Control-Allow-Methods", NULL);
    pipeline_open(pipeline, &options,
                  SETTINGS("CORS_ORIGINS=http://a.example", "CORS_ALLOW_CREDENTIALS=true"));
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"HTTP_ORIGIN=http://a.example"}), 200);
    assert_header(pipeline, "Access-Control-Allow-Credentials", "true");
    assert_header(pipeline, "Access-Control-Allow-Origin", "http://a.example");
}

/* --- Limits --------------------------------------------------------------------------------- */

static void answers_tell_what_is_left_and_refusals_when_to_return(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("RATE_LIMIT_DEFAULT=2/hour"));
    assert_answers(pipeline, CALL(.path = "/open"), 200);
    assert_header(pipeline, "X-RateLimit-Limit", "2");
    assert_header(pipeline, "X-RateLimit-Remaining", "1");
    assert_non_null(answer_header(pipeline, "X-RateLimit-Reset"));
    assert_non_null(strstr(answer_header(pipeline, "RateLimit-Policy"), "q=2;w=3600"));
    assert_non_null(strstr(answer_header(pipeline, "RateLimit"), "r=1;t="));
    assert_header(pipeline, "Retry-After", NULL);
    assert_answers(pipeline, CALL(.path = "/open"), 200);
    assert_refused(pipeline, CALL(.path = "/open"), 429, "rate_limit_exceeded");
    assert_member(pipeline, "message", "Rate limit exceeded: 2 per 1 hour");
    assert_header(pipeline, "X-RateLimit-Remaining", "0");
    int64_t seconds = 0;
    assert_true(json_get_integer(json_member(answer_json(pipeline), "retry_after"), &seconds));
    assert_in_range(seconds, 3480, 3661); /* a sub-bucket more than the hour, rounded up */
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)seconds);
    assert_header(pipeline, "Retry-After", text);
}

static void decisions_are_counted_by_family_and_result(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options,
                  SETTINGS("RATE_LIMIT_CHARTS=2/hour", "RATE_LIMIT_DEFAULT=1/hour"));
    for (int i = 0; i < 5; i++) {
        assert_answers(pipeline, CALL(.path = "/charts"), i < 2 ? 200 : 429);
    }
    for (int i = 0; i < 3; i++) {
        assert_answers(pipeline, CALL(.path = "/open"), i < 1 ? 200 : 429);
    }
    struct buffer text;
    buffer_init(&text, 4u << 20);
    assert_int_equal(metrics_render(pipeline->app->metrics, METRICS_TEXT_0_0_4, false, &text),
                     STATUS_OK);
    static const char *const lines[] = {
        "\nrate_limit_decisions_total{family=\"charts\",result=\"allowed\"} 2\n",
        "\nrate_limit_decisions_total{family=\"charts\",result=\"refused\"} 3\n",
        "\nrate_limit_decisions_total{family=\"default\",result=\"allowed\"} 1\n",
        "\nrate_limit_decisions_total{family=\"default\",result=\"refused\"} 2\n",
        "\nhttp_requests_total{method=\"GET\",endpoint=\"/charts\",status_code=\"429\"} 3\n",
        "\nhttp_errors_total{method=\"GET\",endpoint=\"/"
        "charts\",error_type=\"rate_limit_exceeded\"} "
        "3\n",
        "\nhttp_request_duration_seconds_count{method=\"GET\",endpoint=\"/charts\"} 5\n",
        "\nhttp_requests_in_progress{method=\"GET\",endpoint=\"/charts\"} 0\n",
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        if (strstr(buffer_text(&text), lines[i]) == NULL) {
            fail_msg("no %s in %s", lines[i], buffer_text(&text));
        }
    }
    buffer_release(&text);
}

static void what_a_page_may_read_is_told_with_its_origin(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {ORIGIN}), 200);
    assert_header(pipeline, "Cross-Origin-Resource-Policy", "cross-origin");
    assert_answers(pipeline, CALL(.path = "/open"), 200);
    assert_header(pipeline, "Cross-Origin-Resource-Policy", "same-site");
    assert_header(pipeline, "Strict-Transport-Security", NULL);
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"HTTPS=on"}), 200);
    assert_header(pipeline, "Strict-Transport-Security", "max-age=31536000; includeSubDomains");
}

/* One line for each request, with each field that an auditor looks for. */
static void a_request_is_one_line_of_the_log_with_its_fields(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("LOG_LEVEL=debug"));
    assert_answers(
        pipeline,
        CALL(.path = "/private", .key = PLAIN_KEY,
             .cgi = {"HTTP_X_REQUEST_ID=of-the-request", "REMOTE_ADDR=::ffff:192.0.2.9"}),
        200);
    assert_refused(pipeline, CALL(.path = "/private", .cgi = {"HTTP_X_REQUEST_ID=refused"}), 401,
                   "auth_required");
    const char *log = pipeline_log(pipeline);
    assert_int_equal(count_in(log, "\"message\":\"incoming_request\""), 2);
    assert_int_equal(count_in(log, "\"message\":\"request_completed\""), 2);
    assert_int_equal(count_in(log, "\"correlation_id\":\"of-the-request\""), 2);
    assert_int_equal(
        count_in(log, "\"method\":\"GET\",\"path\":\"/private\",\"client\":\"192.0.2.9\""), 1);
    assert_int_equal(count_in(log, "\"method\":\"GET\",\"path\":\"/private\",\"status_code\":200,"
                                   "\"duration_ms\":"),
                     1);
    assert_int_equal(count_in(log, "\"client\":\"192.0.2.9\",\"user\":\"key:"), 1);
    assert_int_equal(count_in(log, "\"status_code\":401"), 1);
    assert_int_equal(count_in(log, "\"error_type\":\"auth_required\""), 1);
}

static void addresses_and_families_are_counted_apart(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options,
                  SETTINGS("RATE_LIMIT_DEFAULT=1/hour", "RATE_LIMIT_CHARTS=1/hour"));
    assert_answers(pipeline, CALL(.path = "/open"), 200);
    assert_answers(pipeline, CALL(.path = "/open"), 429);
    assert_answers(pipeline, CALL(.method = "POST", .path = "/open"), 429);
    assert_answers(pipeline, CALL(.path = "/api/v1/open/"), 429);
    assert_answers(pipeline, CALL(.path = "/charts"), 200);
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"REMOTE_ADDR=192.0.2.8"}), 200);
    /* Headers that nobody has verified buy nothing. */
    assert_answers(
        pipeline,
        CALL(.path = "/open", .key = "invented",
             .cgi = {"HTTP_X_FORWARDED_FOR=203.0.113.1", "HTTP_AUTHORIZATION=Bearer invented"}),
        429);
}

static void a_network_of_ipv6_counts_as_one_client(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("RATE_LIMIT_DEFAULT=1/hour"));
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"REMOTE_ADDR=2001:db8::1"}), 200);
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"REMOTE_ADDR=2001:db8::ffff:2"}), 429);
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"REMOTE_ADDR=2001:0DB8:0::3"}), 429);
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"REMOTE_ADDR=2001:db8:0:1::1"}), 200);
    /* IPv4 in IPv6 form is no network of that kind. */
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"REMOTE_ADDR=::ffff:192.0.2.1"}), 200);
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"REMOTE_ADDR=::ffff:192.0.2.2"}), 200);
}

static void exempt_routes_trusted_clients_and_a_switch_are_never_limited(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options,
                  SETTINGS("RATE_LIMIT_DEFAULT=1/hour", "RATE_LIMIT_TRUSTED_CIDRS=10.9.0.0/16"));
    for (int i = 0; i < 3; i++) {
        assert_answers(pipeline, CALL(.path = "/free"), 200);
        assert_header(pipeline, "X-RateLimit-Limit", NULL);
        assert_answers(pipeline, CALL(.path = "/open", .cgi = {"REMOTE_ADDR=10.9.255.1"}), 200);
    }
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"REMOTE_ADDR=10.8.0.1"}), 200);
    assert_answers(pipeline, CALL(.path = "/open", .cgi = {"REMOTE_ADDR=10.8.0.1"}), 429);
    /* Nobody becomes trusted by saying so. */
    assert_answers(
        pipeline,
        CALL(.path = "/open", .cgi = {"REMOTE_ADDR=10.8.0.1", "HTTP_X_FORWARDED_FOR=10.9.0.1"}),
        429);
    pipeline_open(pipeline, &options,
                  SETTINGS("RATE_LIMIT_DEFAULT=1/hour", "RATE_LIMIT_ENABLED=false"));
    assert_answers(pipeline, CALL(.path = "/open"), 200);
    assert_answers(pipeline, CALL(.path = "/open"), 200);
}

static void a_principal_pays_instead_of_its_address(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("RATE_LIMIT_CHAT=2/hour"));
    const struct call *one = CALL(.path = "/private", .key = PLAIN_KEY);
    const struct call *other = CALL(.path = "/private/too", .key = PREMIUM_KEY);
    assert_answers(pipeline, one, 200);
    assert_answers(pipeline, one, 200);
    assert_refused(pipeline, one, 429, "rate_limit_exceeded");
    /* The address pays nothing, so the other key behind it has its own two. */
    assert_answers(pipeline, other, 200);
    assert_answers(pipeline, other, 200);
    assert_refused(pipeline, other, 429, "rate_limit_exceeded");
    /* And another address does not help the first. */
    assert_answers(pipeline,
                   CALL(.path = "/private", .key = PLAIN_KEY, .cgi = {"REMOTE_ADDR=192.0.2.8"}),
                   429);
    assert_answers(pipeline, CALL(.path = "/optional"), 200);
    assert_answers(pipeline, CALL(.path = "/optional"), 200);
    assert_answers(pipeline, CALL(.path = "/optional"), 429);
}

static void a_tier_replaces_the_limit_of_the_family(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options,
                  SETTINGS("RATE_LIMIT_CHAT=1/hour",
                           "RATE_LIMIT_TIERS={\"other\":\"9/hour\",\"premium\":\"3/hour\"}"));
    const struct call *premium = CALL(.path = "/private", .key = PREMIUM_KEY);
    const struct call *plain = CALL(.path = "/private", .key = PLAIN_KEY);
    for (int i = 0; i < 3; i++) {
        assert_answers(pipeline, premium, 200);
        assert_header(pipeline, "X-RateLimit-Limit", "3");
    }
    assert_answers(pipeline, premium, 429);
    assert_answers(pipeline, plain, 200);
    assert_header(pipeline, "X-RateLimit-Limit", "1");
    assert_answers(pipeline, plain, 429);
}

/* --- Keys in other places ------------------------------------------------------------------- */

static void a_key_in_the_query_counts_only_where_it_is_switched_on(void **state)
{
    struct pipeline *pipeline = *state;
    const struct call *call = CALL(.path = "/private", .query = "api_key=" PLAIN_KEY);
    assert_refused(pipeline, call, 401, "auth_required");
    assert_refused(pipeline, CALL(.path = "/private", .query = "=" PLAIN_KEY), 401,
                   "auth_required");
    pipeline_open(pipeline, &options, SETTINGS("API_KEY_QUERY=api_key"));
    assert_answers(pipeline, call, 200);
    assert_refused(pipeline, CALL(.path = "/private", .query = "api_key=wrong"), 401,
                   "invalid_api_key");
    assert_refused(pipeline, CALL(.path = "/private", .query = "API_KEY=" PLAIN_KEY), 401,
                   "auth_required");
}

static void the_header_of_keys_can_be_renamed(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options, SETTINGS("API_KEY_HEADER=X-Own-Key"));
    assert_answers(pipeline, CALL(.path = "/private", .cgi = {"HTTP_X_OWN_KEY= " PLAIN_KEY " "}),
                   200);
    assert_refused(pipeline, CALL(.path = "/private", .key = PLAIN_KEY), 401, "auth_required");
}

/* --- No memory ------------------------------------------------------------------------------ */

static void identifying_a_client_survives_any_failed_allocation(void **state)
{
    static const struct call calls[] = {
        {.method = "HEAD",
         .path = "/open",
         .cgi = {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=203.0.113.9, 10.0.0.2",
                 "HTTP_X_FORWARDED_PROTO=https", ORIGIN}},
        {.path = "/open", .cgi = {"HTTP_HOST=api.example", "REQUEST_URI=/open"}},
        {.path = "/open", .cgi = {"HTTP_HOST=api.example:x", "REQUEST_URI=/open"}},
    };
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options,
                  SETTINGS("HTTPS_REDIRECT=true", "TRUSTED_PROXIES=10.0.0.0/8",
                           "RATE_LIMIT_DEFAULT=100000000/day"));
    for (size_t i = 0; i < COUNT(calls); i++) {
        torture(pipeline, &calls[i], false);
    }
}

static void a_client_is_not_taken_for_its_proxy_without_memory(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &options,
                  SETTINGS("TRUSTED_PROXIES=10.0.0.0/8", "RATE_LIMIT_TRUSTED_CIDRS=10.0.0.0/8",
                           "RATE_LIMIT_DEFAULT=100000000/day"));
    const struct call *call =
        CALL(.path = "/open",
             .cgi = {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=203.0.113.9, 10.0.0.2"});
    size_t answered = 0;
    for (pipeline->arena_room = 16; pipeline->arena_room < 4096; pipeline->arena_room += 16) {
        if (send_call(pipeline, call) == 200) {
            answered++;
            assert_non_null(answer_header(pipeline, "X-RateLimit-Limit"));
        }
    }
    assert_true(answered > 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, pipeline_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_allowed_hosts_are_served),
        TEST(a_redirect_repeats_only_what_fits_a_header),
        TEST(a_redirect_goes_to_a_host_that_the_settings_name),
        TEST(probes_and_metrics_need_neither_a_host_nor_https),
        TEST(a_proxy_that_is_not_trusted_is_told_of_once),
        TEST(the_scheme_is_believed_from_trusted_proxies_only),
        TEST(the_client_is_the_last_hop_that_is_not_ours),
        TEST(a_forged_line_makes_an_unknown_client_and_no_scheme),
        TEST(lines_of_one_header_are_one_list_of_hops),
        TEST(an_allowed_origin_is_echoed_and_a_foreign_one_ignored),
        TEST(a_preflight_answers_what_was_asked_and_is_allowed),
        TEST(headers_of_official_libraries_are_allowed),
        TEST(preflights_follow_the_settings),
        TEST(answers_tell_what_is_left_and_refusals_when_to_return),
        TEST(decisions_are_counted_by_family_and_result),
        TEST(what_a_page_may_read_is_told_with_its_origin),
        TEST(a_request_is_one_line_of_the_log_with_its_fields),
        TEST(addresses_and_families_are_counted_apart),
        TEST(a_network_of_ipv6_counts_as_one_client),
        TEST(exempt_routes_trusted_clients_and_a_switch_are_never_limited),
        TEST(a_principal_pays_instead_of_its_address),
        TEST(a_tier_replaces_the_limit_of_the_family),
        TEST(a_key_in_the_query_counts_only_where_it_is_switched_on),
        TEST(the_header_of_keys_can_be_renamed),
        TEST(identifying_a_client_survives_any_failed_allocation),
        TEST(a_client_is_not_taken_for_its_proxy_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
