/*
 * Probes of services, each in its own protocol, and the list of the services to probe.
 */
#include "config_fixture.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "services/probe.h"

/* --- A service of one answer ------------------------------------------------------------------ */

/* Listens, takes one connection, and answers what comes first with `answer`. */
struct responder {
    int listener;
    int port;
    char path[64];      /* "" or of a socket of this machine */
    const char *answer; /* NULL: none, until the other side has had enough; "": hangs up */
    char heard[1024];
    size_t heard_length;
    pthread_t thread;
};

static void *respond(void *context)
{
    struct responder *responder = context;
    struct pollfd poller = {.fd = responder->listener, .events = POLLIN};

    if (poll(&poller, 1, 5000) != 1) {
        return NULL;
    }
    int peer = accept(responder->listener, NULL, NULL);
    ssize_t got = recv(peer, responder->heard, sizeof responder->heard - 1, 0);
    responder->heard_length = got > 0 ? (size_t)got : 0;
    if (responder->answer == NULL) {
        char byte;
        (void)recv(peer, &byte, 1, 0);
    } else {
        (void)send(peer, responder->answer, strlen(responder->answer), MSG_NOSIGNAL);
    }
    close(peer);
    return NULL;
}

static void start(struct responder *responder, const char *address, int port, const char *answer)
{
    int yes = 1;

    *responder = (struct responder){.answer = answer};
    if (address[0] == '/') {
        struct sockaddr_un name = {.sun_family = AF_UNIX};

        snprintf(responder->path, sizeof responder->path, "%s", address);
        snprintf(name.sun_path, sizeof name.sun_path, "%s", address);
        responder->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(responder->listener, (struct sockaddr *)&name, sizeof name), 0);
    } else {
        struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        socklen_t size = sizeof name;

        assert_int_equal(inet_pton(AF_INET, address, &name.sin_addr), 1);
        responder->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(responder->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        assert_int_equal(bind(responder->listener, (struct sockaddr *)&name, sizeof name), 0);
        assert_int_equal(getsockname(responder->listener, (struct sockaddr *)&name, &size), 0);
        responder->port = ntohs(name.sin_port);
    }
    assert_int_equal(listen(responder->listener, 1), 0);
    assert_int_equal(pthread_create(&responder->thread, NULL, respond, responder), 0);
}

static void stop(struct responder *responder)
{
    pthread_join(responder->thread, NULL);
    close(responder->listener);
    if (responder->path[0] != '\0') {
        unlink(responder->path);
    }
}

static const char *probe(enum service_kind kind, const char *target)
{
    const struct service service = {.name = "it", .kind = kind, .target = target};

    return service_probe(&service, "");
}

/* The verdict on a service that answers so; `form` is its URL, with PORT in it. */
static const char *probe_answer(enum service_kind kind, const char *form, const char *answer,
                                struct responder *responder)
{
    const char *port = strstr(form, "PORT");
    char target[128];

    start(responder, "127.0.0.1", 0, answer);
    snprintf(target, sizeof target, "%.*s%d%s", (int)(port - form), form, responder->port,
             port + strlen("PORT"));
    const char *verdict = probe(kind, target);
    stop(responder);
    return verdict;
}

/* --- Sockets ---------------------------------------------------------------------------------- */

static void a_service_answers_in_the_words_of_its_protocol(void **state)
{
    static const struct {
        enum service_kind kind;
        const char *form;
        const char *answer;
        const char *verdict;
    } cases[] = {
        {SERVICE_REDIS, "redis://127.0.0.1:PORT", "+PONG\r\n", ""},
        {SERVICE_REDIS, "redis://:p:w@d@127.0.0.1:PORT/0", "-NOAUTH\r\n", ""},
        {SERVICE_REDIS, "redis://127.0.0.1:PORT?x=@", "+", ""},
        {SERVICE_REDIS, "redis://127.0.0.1:PORT", "HTTP/1.1 400\r\n", "no answer to PING"},
        {SERVICE_REDIS, "redis://127.0.0.1:PORT", "", "no answer to PING"},
        {SERVICE_POSTGRESQL, "postgresql://u:p@127.0.0.1:PORT/d", "S", ""},
        {SERVICE_POSTGRESQL, "postgres://127.0.0.1:PORT#x", "N", ""},
        {SERVICE_POSTGRESQL, "postgresql://127.0.0.1:PORT", "E", "no answer to SSLRequest"},
        {SERVICE_POSTGRESQL, "postgresql://127.0.0.1:PORT", "", "no answer to SSLRequest"},
        {SERVICE_TCP, "tcp://127.0.0.1:PORT", "", ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct responder responder;

        assert_string_equal(probe_answer(cases[i].kind, cases[i].form, cases[i].answer, &responder),
                            cases[i].verdict);
        if (cases[i].kind == SERVICE_REDIS) {
            assert_string_equal(responder.heard, "PING\r\n");
        } else if (cases[i].kind == SERVICE_POSTGRESQL) {
            assert_int_equal(responder.heard_length, 8);
            assert_memory_equal(responder.heard, "\0\0\0\x08\x04\xd2\x16\x2f", 8);
        } else {
            assert_int_equal(responder.heard_length, 0);
        }
    }
}

/* Each on an address of its own of this machine, where nobody else listens. */
static void redis_and_postgresql_have_ports_of_their_own(void **state)
{
    struct responder responder;

    (void)state;
    start(&responder, "127.77.31.1", 6379, "+");
    assert_string_equal(probe(SERVICE_REDIS, "redis://127.77.31.1"), "");
    stop(&responder);
    start(&responder, "127.77.31.1", 5432, "S");
    assert_string_equal(probe(SERVICE_POSTGRESQL, "postgresql://127.77.31.1/db"), "");
    stop(&responder);
}

static void a_socket_of_this_machine_is_connected_to(void **state)
{
    struct fixture *fixture = *state;
    struct responder responder;
    char path[96];
    char target[256];

    snprintf(path, sizeof path, "%s/s", fixture->directory);
    start(&responder, path, 0, "");
    snprintf(target, sizeof target, "unix:%s", path);
    assert_string_equal(probe(SERVICE_UNIX, target), "");
    stop(&responder);
    assert_string_equal(probe(SERVICE_UNIX, target), "cannot connect");
    /* The name of a socket has room for 107 bytes; one without an end is none of ours. */
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memset(name.sun_path, 'x', sizeof name.sun_path);
    memcpy(name.sun_path, path, strlen(path));
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(listener, 1), 0);
    snprintf(target, sizeof target, "unix:%.*s", (int)sizeof name.sun_path, name.sun_path);
    assert_string_equal(probe(SERVICE_UNIX, target), "cannot connect");
    close(listener);
}

static void what_does_not_answer_is_given_up_in_a_second(void **state)
{
    struct responder responder;
    uint64_t began = clock_monotonic_nanoseconds();

    (void)state;
    assert_string_equal(probe_answer(SERVICE_REDIS, "redis://127.0.0.1:PORT", NULL, &responder),
                        "no answer to PING");
    uint64_t milliseconds = (clock_monotonic_nanoseconds() - began) / 1000000;
    assert_in_range(milliseconds, SERVICE_PROBE_MILLISECONDS, SERVICE_PROBE_MILLISECONDS + 2000);
    began = clock_monotonic_nanoseconds();
    assert_string_equal(probe_answer(SERVICE_HTTP, "http://127.0.0.1:PORT/", NULL, &responder),
                        "no answer in time");
    milliseconds = (clock_monotonic_nanoseconds() - began) / 1000000;
    assert_in_range(milliseconds, SERVICE_PROBE_MILLISECONDS, SERVICE_PROBE_MILLISECONDS + 2000);
}

static void what_is_not_there_cannot_be_connected_to(void **state)
{
    char target[400];

    (void)state;
    assert_string_equal(probe(SERVICE_TCP, "tcp://127.0.0.1:1"), "cannot connect");
    assert_string_equal(probe(SERVICE_TCP, "tcp://u@:1"), "cannot connect");
    assert_string_equal(probe(SERVICE_TCP, "tcp:///x"), "cannot connect");
    assert_string_equal(probe(SERVICE_TCP, "tcp://[::1]:1"), "cannot connect");
    assert_string_equal(probe(SERVICE_HTTP, "http://127.0.0.1:1/"), "cannot connect");
    memset(target, 'x', sizeof target);
    memcpy(target, "tcp://", 6);
    memcpy(target + 6 + 300, ":1", 3);
    assert_string_equal(probe(SERVICE_TCP, target), "cannot connect");
}

static void an_address_in_brackets_is_one_of_ipv6(void **state)
{
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t size = sizeof name;
    int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char target[64];

    (void)state;
    if (listener < 0 || bind(listener, (struct sockaddr *)&name, sizeof name) != 0) {
        close(listener);
        skip();
    }
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &size), 0);
    snprintf(target, sizeof target, "tcp://u@[::1]:%d/x", ntohs(name.sin6_port));
    assert_string_equal(probe(SERVICE_TCP, target), "");
    close(listener);
}

static size_t count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

static void probes_leave_no_descriptor_behind(void **state)
{
    size_t before = 0;

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct responder responder;

        (void)probe_answer(SERVICE_REDIS, "redis://127.0.0.1:PORT", "+", &responder);
        (void)probe(SERVICE_TCP, "tcp://127.0.0.1:1");
        (void)probe(SERVICE_UNIX, "unix:/nowhere");
        before = i == 0 ? count_descriptors() : before;
    }
    assert_int_equal(count_descriptors(), before);
}

static void what_is_not_reached_over_a_network_is_not_asked(void **state)
{
    static const enum service_kind kinds[] = {SERVICE_DATABASE, SERVICE_DATAFEED, SERVICE_DISK,
                                              SERVICE_BUILT_IN, SERVICE_NOT_CONFIGURED};

    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        assert_null(probe(kinds[i], "x"));
    }
}

/* --- HTTP ------------------------------------------------------------------------------------- */

#define ANSWER(status, body) "HTTP/1.1 " status " X\r\nConnection: close\r\n\r\n" body

static void an_http_service_is_judged_by_its_status_and_a_provider_by_its_list(void **state)
{
    static const char fails[] = "answers with an error status";
    static const char no_json[] = "answers with something else than JSON";
    static const char no_key[] = "refuses the key, or wants one";
    static const struct {
        const char *answer;
        const char *of_service;
        const char *of_provider;
    } cases[] = {
        {ANSWER("200", "{}"), "", ""},
        {ANSWER("200", " \r\n[1"), "", ""},
        {ANSWER("200", ""), "", no_json},
        {ANSWER("200", "<html>"), "", no_json},
        {ANSWER("299", "{}"), "", ""},
        {ANSWER("300", "{}"), "", fails},
        {ANSWER("399", "{}"), "", fails},
        {ANSWER("400", "{}"), fails, fails},
        {ANSWER("401", "{}"), fails, no_key},
        {ANSWER("402", "{}"), fails, fails},
        {ANSWER("403", "{}"), fails, no_key},
        {ANSWER("404", ""), fails, ""},
        {ANSWER("405", ""), fails, ""},
        {ANSWER("406", ""), fails, fails},
        {ANSWER("500", "{}"), fails, fails},
        {ANSWER("501", ""), fails, ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "", ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "breaks off, or does not speak HTTP",
         "breaks off, or does not speak HTTP"},
        {"+PONG\r\n", "breaks off, or does not speak HTTP", "breaks off, or does not speak HTTP"},
        {"", "breaks off, or does not speak HTTP", "breaks off, or does not speak HTTP"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct responder responder;
        const char *verdict =
            probe_answer(SERVICE_HTTP, "http://127.0.0.1:PORT/x", cases[i].answer, &responder);

        assert_string_equal(verdict, cases[i].of_service);
        verdict =
            probe_answer(SERVICE_PROVIDER, "http://127.0.0.1:PORT/x", cases[i].answer, &responder);
        assert_string_equal(verdict, cases[i].of_provider);
        assert_int_equal(strncmp(responder.heard, "GET /x HTTP/1.1\r\n", 17), 0);
    }
}

static void a_long_answer_is_looked_at_from_its_beginning(void **state)
{
    struct responder responder;
    char answer[4096];

    (void)state;
    memset(answer, 'x', sizeof answer);
    answer[sizeof answer - 1] = '\0';
    memcpy(answer, ANSWER("200", "{"), strlen(ANSWER("200", "{")));
    assert_string_equal(
        probe_answer(SERVICE_PROVIDER, "http://127.0.0.1:PORT/x", answer, &responder), "");
}

static void a_provider_is_shown_its_key(void **state)
{
    struct service service = {
        .name = "it", .kind = SERVICE_PROVIDER, .authorization = "Authorization: Bearer hunter2"};
    struct responder responder;
    char target[64];

    (void)state;
    start(&responder, "127.0.0.1", 0, ANSWER("200", "{}"));
    snprintf(target, sizeof target, "http://127.0.0.1:%d/models", responder.port);
    service.target = target;
    assert_string_equal(service_probe(&service, ""), "");
    stop(&responder);
    assert_holds(responder.heard, "\r\nAuthorization: Bearer hunter2\r\n");
}

/* --- The list --------------------------------------------------------------------------------- */

struct listed {
    struct catalogue *catalogue;
    struct service_list *services;
    struct arena arena;
};

static enum status list_services(struct fixture *fixture, const char *const *environment,
                                 size_t room, struct listed *listed)
{
    assert_loads(fixture, environment, NULL);
    assert_int_equal(catalogue_create(&listed->catalogue, fixture->config, &fixture->problem),
                     STATUS_OK);
    listed->services = calloc(1, sizeof *listed->services);
    assert_non_null(listed->services);
    arena_init(&listed->arena, room);
    return services_load(fixture->config, listed->catalogue, &listed->arena, listed->services,
                         &fixture->problem);
}

static void forget(struct listed *listed)
{
    catalogue_release(listed->catalogue);
    arena_destroy(&listed->arena);
    free(listed->services);
}

static void what_the_suite_leans_on_is_listed_in_order(void **state)
{
    static const struct service expected[] = {
        {"database", SERVICE_DATABASE, "sqlite:/srv/q/quintet.db", NULL, true},
        {"datafeed", SERVICE_DATAFEED, "", NULL, true},
        {"disk", SERVICE_DISK, "/srv/q", NULL, false},
        {"lab", SERVICE_PROVIDER, "http://h/v1/models", "Authorization: Bearer k", false},
        {"demo", SERVICE_BUILT_IN, NULL, NULL, false},
        {"a", SERVICE_HTTP, "http://h", NULL, false},
        {"B-1_x.y", SERVICE_HTTP, "https://h", NULL, false},
        {"c", SERVICE_TCP, "tcp://h:65535", NULL, false},
        {"d", SERVICE_UNIX, "unix:/s", NULL, false},
        {"redis", SERVICE_REDIS, "redis://h", NULL, false},
        {"f", SERVICE_POSTGRESQL, "postgresql://h", NULL, false},
        {"g", SERVICE_POSTGRESQL, "postgres://h", NULL, false},
        {"consul", SERVICE_NOT_CONFIGURED, "", NULL, false},
    };
    struct listed listed;

    assert_int_equal(
        list_services(*state,
                      ENVIRONMENT("STATE_DIR=/srv/q", "PROVIDER_LAB_BASE_URL=http://h/v1",
                                  "LAB_API_KEY=k", "DEMO_ENABLED=true",
                                  "HEALTH_SERVICES=a=http://h,B-1_x.y=https://h,c=tcp://h:65535,"
                                  "d=unix:/s,redis=redis://h,f=postgresql://h,g=postgres://h"),
                      65536, &listed),
        STATUS_OK);
    assert_int_equal(listed.services->count, COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++) {
        const struct service *service = &listed.services->items[i];

        assert_string_equal(service->name, expected[i].name);
        assert_int_equal(service->kind, expected[i].kind);
        assert_int_equal(service->is_required, expected[i].is_required);
        assert_int_equal(service->target == NULL, expected[i].target == NULL);
        assert_int_equal(service->authorization == NULL, expected[i].authorization == NULL);
        if (service->target != NULL) {
            assert_string_equal(service->target, expected[i].target);
        }
        if (service->authorization != NULL) {
            assert_string_equal(service->authorization, expected[i].authorization);
        }
    }
    forget(&listed);
}

/* A fault stands on a line of its own, after any lines that were there before. */
static void a_fault_of_the_list_is_told_behind_others(void **state)
{
    static const char *const settings[][2] = {
        {"PROVIDER_REDIS_BASE_URL=http://h",
         "first\nprovider redis: /health/redis is something else already"},
        {"HEALTH_SERVICES=disk=tcp://h:1",
         "first\nHEALTH_SERVICES: entry 1 has a name that is taken (environment)"}};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(settings); i++) {
        struct catalogue *catalogue;
        struct service_list services;
        struct arena arena;

        arena_init(&arena, 65536);
        assert_loads(fixture, ENVIRONMENT(settings[i][0]), NULL);
        assert_int_equal(catalogue_create(&catalogue, fixture->config, &fixture->problem),
                         STATUS_OK);
        buffer_append_text(&fixture->problem, "first");
        assert_int_equal(
            services_load(fixture->config, catalogue, &arena, &services, &fixture->problem),
            STATUS_INVALID);
        assert_string_equal(buffer_text(&fixture->problem), settings[i][1]);
        catalogue_release(catalogue);
        arena_destroy(&arena);
    }
}

static void a_list_without_room_for_it_is_told(void **state)
{
    enum status status = STATUS_NO_MEMORY;

    for (size_t room = 0; status == STATUS_NO_MEMORY; room++) {
        struct listed listed;

        assert_true(room < 4096);
        status = list_services(*state, ENVIRONMENT("HEALTH_SERVICES=a=tcp://h:1,b=tcp://h:2"), room,
                               &listed);
        forget(&listed);
    }
    assert_int_equal(status, STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_answers_in_the_words_of_its_protocol),
        cmocka_unit_test(redis_and_postgresql_have_ports_of_their_own),
        CONFIG_TEST(a_socket_of_this_machine_is_connected_to),
        cmocka_unit_test(what_does_not_answer_is_given_up_in_a_second),
        cmocka_unit_test(what_is_not_there_cannot_be_connected_to),
        cmocka_unit_test(an_address_in_brackets_is_one_of_ipv6),
        cmocka_unit_test(probes_leave_no_descriptor_behind),
        cmocka_unit_test(what_is_not_reached_over_a_network_is_not_asked),
        cmocka_unit_test(an_http_service_is_judged_by_its_status_and_a_provider_by_its_list),
        cmocka_unit_test(a_long_answer_is_looked_at_from_its_beginning),
        cmocka_unit_test(a_provider_is_shown_its_key),
        CONFIG_TEST(what_the_suite_leans_on_is_listed_in_order),
        CONFIG_TEST(a_fault_of_the_list_is_told_behind_others),
        CONFIG_TEST(a_list_without_room_for_it_is_told),
    };
    return cmocka_run_group_tests_name("service probe", tests, NULL, NULL);
}
