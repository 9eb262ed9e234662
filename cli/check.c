/*
 * quintet check: what keeps the suite from running, one line per thing looked at: "ok", "warn" or
 * "fail", what it was, and what is wrong. A warning is what the suite runs with but does not do.
 * Looks at everything that can be looked at and says which state it is; asks providers and services,
 * each for a second at most. Before the first start it makes nothing; later nothing but what any
 * start would make (a secret or the shared-memory segment if somebody has removed it).
 */
#include "command.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "services/probe.h"
#include "json/write.h"

#define PROBLEM_MAXIMUM ((size_t)64 * 1024)
#define FAULT_MAXIMUM   4096
#define OUTPUT_MAXIMUM  ((size_t)1024 * 1024)

struct report {
    bool is_json;
    bool has_failed;
    struct buffer out;
    struct json_writer json;
};

static void add_line(struct report *report, const char *verdict, const char *subject,
                     const char *problem)
{
    if (report->is_json) {
        json_write_object_begin(&report->json);
        json_write_member_text(&report->json, "check", subject);
        json_write_member_boolean(&report->json, "ok", strcmp(verdict, "fail") != 0);
        json_write_member_text(&report->json, "result", verdict);
        json_write_member_text(&report->json, "problem", problem);
        json_write_object_end(&report->json);
        return;
    }
    buffer_append_format(&report->out, "%-4s  %s%s%s\n", verdict, subject,
                         problem != NULL ? ": " : "", problem != NULL ? problem : "");
}

/* `problem` "" or NULL means ok. */
static void note(struct report *report, const char *subject, const char *problem)
{
    bool is_ok = problem == NULL || problem[0] == '\0';

    report->has_failed = report->has_failed || !is_ok;
    add_line(report, is_ok ? "ok" : "fail", subject, is_ok ? NULL : problem);
}

/* The same for a problem of several lines: each is told. */
static void note_each(struct report *report, const char *subject, const char *problem)
{
    struct slice rest = slice_of(problem != NULL ? problem : "");
    struct slice line;

    if (rest.length == 0) {
        note(report, subject, NULL);
        return;
    }
    while (slice_split(&rest, '\n', &line)) {
        char text[FAULT_MAXIMUM];

        snprintf(text, sizeof text, "%.*s", (int)line.length, line.data);
        note(report, subject, text);
    }
}

/* A setting that does nothing. */
struct warner {
    struct report *report;
    const struct config *config;
};

static void warn(const struct config_remark *remark, void *context)
{
    const struct warner *warner = context;
    struct buffer problem;

    buffer_init(&problem, PROBLEM_MAXIMUM);
    buffer_append_format(&problem, "%s (", remark->text);
    config_append_place(warner->config, remark->name, &problem);
    buffer_append_char(&problem, ')');
    add_line(warner->report, "warn", remark->name, buffer_text(&problem));
    buffer_release(&problem);
}

/* The line in `problem`, or the status if there is none. */
static const char *problem_text(enum status status, const struct buffer *problem)
{
    return status == STATUS_OK   ? NULL
           : problem->length > 0 ? buffer_text(problem)
                                 : status_text(status);
}

static void check_database(struct report *report, struct storage *storage)
{
    struct buffer problem;
    enum status status = storage_ping(storage);

    note(report, "database", status == STATUS_OK ? NULL : "does not answer or cannot be opened");
    if (status != STATUS_OK) {
        return;
    }
    buffer_init(&problem, PROBLEM_MAXIMUM);
    status = command_check_schema(storage, &problem);
    note(report, "migrations", problem_text(status, &problem));
    buffer_release(&problem);
}

/* --- Services ------------------------------------------------------------------------------- */

struct probe {
    pthread_t thread;
    bool has_thread;
    const struct service *service;
    const char *ca_path;
    const char *fault;
};

static void *run_probe(void *context)
{
    struct probe *probe = context;

    probe->fault = service_probe(probe->service, probe->ca_path);
    return NULL;
}

/* At the same time: each may take as long as a probe may. */
static void run_probes(struct probe *probes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        probes[i].has_thread = pthread_create(&probes[i].thread, NULL, run_probe, &probes[i]) == 0;
        if (!probes[i].has_thread) {
            run_probe(&probes[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (probes[i].has_thread) {
            pthread_join(probes[i].thread, NULL);
        }
    }
}

/* Providers and HEALTH_SERVICES are asked as health asks them. The suite runs without: a warning. */
static void check_services(struct report *report, const struct config *config)
{
    struct catalogue *catalogue = NULL;
    struct service_list services = {0};
    struct probe probes[SERVICE_MAXIMUM];
    struct buffer problem;
    enum status status;

    buffer_init(&problem, PROBLEM_MAXIMUM);
    status = catalogue_create(&catalogue, config, &problem);
    if (status == STATUS_OK) {
        status = services_load(config, catalogue, &catalogue->arena, &services, &problem);
    }
    if (status != STATUS_OK) {
        note(report, "services", problem_text(status, &problem));
    }
    for (size_t i = 0; i < services.count; i++) {
        probes[i] =
            (struct probe){.service = &services.items[i], .ca_path = config->upstream_ca_path};
    }
    run_probes(probes, services.count);
    for (size_t i = 0; i < services.count; i++) {
        const char *fault = probes[i].fault;

        if (fault != NULL) {
            buffer_reset(&problem);
            buffer_append_format(&problem, "service %s", services.items[i].name);
            add_line(report, fault[0] == '\0' ? "ok" : "warn", buffer_text(&problem),
                     fault[0] == '\0' ? NULL : fault);
        }
    }
    catalogue_release(catalogue);
    buffer_release(&problem);
}

/* --- Web server ----------------------------------------------------------------------------- */

#define SNIPPET "/lighttpd/quintet.conf"

/* Installed, or beside a program that runs where it was built (build/cli/quintet). */
static void check_web_server(struct report *report)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof SNIPPET);

    for (int up = 0; length > 0 && up < 3; up++) {
        const char *slash;

        path[length] = '\0';
        slash = strrchr(path, '/');
        length = slash != NULL ? slash - path : 0;
    }
    if (length > 0) {
        memcpy(path + length, SNIPPET, sizeof SNIPPET);
    }
    note(report, "web server configuration",
         access(QUINTET_DATA_DIRECTORY SNIPPET, R_OK) == 0 ||
                 (length > 0 && access(path, R_OK) == 0)
             ? NULL
             : "there is no " QUINTET_DATA_DIRECTORY SNIPPET ", nor one beside the build");
}

/* --- All ------------------------------------------------------------------------------------ */

/* Which state is looked at: somebody in another directory, or as another user, sees another one. */
static void note_state(struct report *report, const struct config *config)
{
    const char *file = config_file(config, 0);
    struct buffer text;

    buffer_init(&text, PROBLEM_MAXIMUM);
    buffer_append_format(&text, "STATE_DIR %s, DATABASE_URL %s, %s", config->state_dir,
                         config->database_url, file != NULL ? file : "no configuration file");
    add_line(report, "ok", "state", buffer_text(&text));
    buffer_release(&text);
}

static void check_suite(struct report *report)
{
    static const struct app_options options = {.program = "quintet", .uses_charts = true};
    struct config *config = NULL;
    struct app *app = NULL;
    const char *missing;
    struct buffer problem;
    enum status status;

    buffer_init(&problem, PROBLEM_MAXIMUM);
    status = app_load_config(&config, &problem);
    note_each(report, "configuration", problem_text(status, &problem));
    if (status != STATUS_OK) {
        goto out;
    }
    config_each_remark(config, warn, &(struct warner){report, config});
    note_state(report, config);
    check_services(report, config);
    if (!command_find_database(config, &missing)) {
        buffer_append_format(&problem,
                             "there is no database %s yet (quintet migrate up, or a start of the "
                             "suite, makes it)",
                             missing);
        note(report, "migrations", buffer_text(&problem));
        config_release(config);
        goto out;
    }
    status = config_settle(config, &problem);
    note(report, "secrets and directories", problem_text(status, &problem));
    if (status != STATUS_OK) {
        config_release(config);
        goto out;
    }
    status = app_open(&app, &options, config, &problem);
    note(report, "log, limits, shared memory, keys", problem_text(status, &problem));
    if (status == STATUS_OK) {
        check_database(report, app->storage);
        if (!app->config->enable_persistence) {
            note(report, "charts in memory",
                 storage_ping(app->chart_storage) == STATUS_OK ? NULL : "cannot be read");
        }
    }
out:
    app_close(app);
    buffer_release(&problem);
}

int check_command(int argc, char **argv)
{
    struct report report = {0};
    const struct command_option options[] = {{.name = "json", .flag = &report.is_json}};
    int exit_status;

    if (!command_parse_options(&argc, argv, options, 1) || argc != 1) {
        return command_misused("check");
    }
    buffer_init(&report.out, OUTPUT_MAXIMUM);
    json_write_start(&report.json, &report.out);
    if (report.is_json) {
        json_write_array_begin(&report.json);
    }
    check_suite(&report);
    check_web_server(&report);
    if (report.is_json) {
        json_write_array_end(&report.json);
        buffer_append_char(&report.out, '\n');
    }
    exit_status = command_print(&report.out);
    buffer_release(&report.out);
    return exit_status == 0 && report.has_failed ? COMMAND_FAILED : exit_status;
}
