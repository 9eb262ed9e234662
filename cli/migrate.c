/*
 * quintet migrate: the schema of the database, step by step. Programs bring SQLite up by
 * themselves when they start; this is for looking, for going back, and for doing it beforehand.
 * Going back takes data away: not under running programs, not unasked, not without a copy.
 */
#include "command.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "segment/segment.h"
#include "storage/migrate.h"
#include "json/write.h"

#define STEPS_MAXIMUM   10000
#define PROCESS_MAXIMUM 256

/* 0, or the exit status after the message. */
static int check(enum status status, const struct buffer *problem)
{
    if (status == STATUS_OK) {
        return 0;
    }
    return problem->length > 0 ? command_fail("%s", buffer_text(problem))
                               : command_fail_storage("migrate", status);
}

/* Says where the schema is now, and ends. */
static int end_move(struct command_session *session, struct buffer *problem, int exit_status)
{
    struct migrate_status now = {0};

    if (exit_status == 0) {
        exit_status = check(migrate_read_status(session->app->storage, &now), problem);
    }
    buffer_append_format(&session->out, "schema %d of %d\n", now.version, now.latest);
    buffer_release(problem);
    return command_end(session, exit_status);
}

static int migrate_up_command(int argc, char **argv)
{
    struct command_session session = {0};
    struct buffer problem;
    int exit_status;

    if (!command_parse_options(&argc, argv, NULL, 0) || argc != 1) {
        return command_misused("migrate");
    }
    exit_status = command_begin(&session, false);
    buffer_init(&problem, 4096);
    if (exit_status == 0) {
        exit_status = check(migrate_up(session.app->storage, &problem), &problem);
    }
    return end_move(&session, &problem, exit_status);
}

/* --- down ------------------------------------------------------------------------------------ */

/* Running programs need what it takes away. */
static int refuse_while_running(struct app *app)
{
    struct segment_process_info processes[PROCESS_MAXIMUM];
    size_t count = segment_list_processes(app->segment, processes, PROCESS_MAXIMUM);

    for (size_t i = 0; i < count; i++) {
        if (processes[i].pid != getpid() &&
            strcmp(processes[i].program, app->options->program) != 0) {
            return command_fail("%s (process %ld) is running: stop the suite first",
                                processes[i].program, (long)processes[i].pid);
        }
    }
    return 0;
}

static int confirm(bool is_confirmed, int version, int steps)
{
    char answer[8] = "";

    if (is_confirmed) {
        return 0;
    }
    if (!isatty(STDIN_FILENO)) {
        return command_fail("migrate down removes what only the newer schema can hold: say --yes");
    }
    fprintf(stderr, "Take the schema back from %d to %d, with all that it holds? [y/N] ", version,
            version > steps ? version - steps : 0);
    if (fgets(answer, sizeof answer, stdin) == NULL || (answer[0] != 'y' && answer[0] != 'Y')) {
        return command_fail("nothing was changed");
    }
    return 0;
}

/* Beside the database; its name tells when. */
static int copy_database(struct command_session *session)
{
    const char *path = strchr(session->app->config->database_url, ':') + 1;
    struct buffer copy;
    struct buffer time;
    int exit_status = 0;

    buffer_init(&copy, PATH_MAX);
    buffer_init(&time, 64);
    command_append_time(&time, clock_wall_seconds(), "");
    buffer_append_format(&copy, "%s.before-migrate-down-%s-%d", path, buffer_text(&time),
                         (int)getpid());
    enum status status = buffer_status(&copy);
    if (status == STATUS_OK) {
        status = storage_copy(session->app->storage, buffer_text(&copy));
    }
    if (status != STATUS_OK) {
        exit_status = command_fail("the database cannot be copied to %s (%s): nothing was changed",
                                   buffer_text(&copy), status_text(status));
    } else {
        buffer_append_format(&session->out, "copy %s\n", buffer_text(&copy));
    }
    buffer_release(&time);
    buffer_release(&copy);
    return exit_status;
}

static int move_down(struct command_session *session, bool is_confirmed, int steps,
                     struct buffer *problem)
{
    struct storage *storage = session->app->storage;
    struct migrate_status now;
    int exit_status = check(migrate_verify(storage, problem), problem);

    if (exit_status == 0) {
        exit_status = check(migrate_read_status(storage, &now), problem);
    }
    if (exit_status != 0 || now.version == 0) {
        return exit_status;
    }
    exit_status = refuse_while_running(session->app);
    if (exit_status == 0) {
        exit_status = confirm(is_confirmed, now.version, steps);
    }
    if (exit_status == 0) {
        exit_status = copy_database(session);
    }
    return exit_status == 0 ? check(migrate_down(storage, steps, problem), problem) : exit_status;
}

static int migrate_down_command(int argc, char **argv)
{
    bool is_confirmed = false;
    const struct command_option options[] = {{.name = "yes", .flag = &is_confirmed}};
    struct command_session session = {0};
    struct buffer problem;
    int64_t steps = 1;
    int exit_status;

    if (!command_parse_options(&argc, argv, options, 1) || argc > 2) {
        return command_misused("migrate");
    }
    if (argc == 2 && !command_parse_number("N", argv[1], 1, STEPS_MAXIMUM, &steps)) {
        return EX_USAGE;
    }
    exit_status = command_begin(&session, false);
    buffer_init(&problem, 4096);
    if (exit_status == 0) {
        exit_status = move_down(&session, is_confirmed, (int)steps, &problem);
    }
    return end_move(&session, &problem, exit_status);
}

/* --- status --------------------------------------------------------------------------------- */

struct listing {
    struct command_table table;
    struct json_writer json;
    bool is_json;
};

static void show_migration(int version, const char *name, int64_t applied_at, void *context)
{
    struct listing *listing = context;
    struct buffer text;

    buffer_init(&text, 64);
    if (listing->is_json) {
        command_append_time(&text, applied_at, "");
        json_write_object_begin(&listing->json);
        json_write_member_integer(&listing->json, "version", version);
        json_write_member_text(&listing->json, "name", name);
        json_write_member_boolean(&listing->json, "known", name != NULL);
        json_write_member_text(&listing->json, "applied_at",
                               applied_at != 0 ? buffer_text(&text) : NULL);
        json_write_object_end(&listing->json);
    } else {
        buffer_append_format(&text, "%04d", version);
        command_table_add(&listing->table, buffer_text(&text));
        buffer_reset(&text);
        command_append_time(&text, applied_at, "pending");
        command_table_add(&listing->table, name != NULL ? name : "(unknown to this program)");
        command_table_add(&listing->table, buffer_text(&text));
    }
    buffer_release(&text);
}

static int migrate_status_command(int argc, char **argv)
{
    struct listing listing = {0};
    const struct command_option options[] = {{.name = "json", .flag = &listing.is_json}};
    struct command_session session = {0};
    enum status status;
    int exit_status;

    if (!command_parse_options(&argc, argv, options, 1) || argc != 1) {
        return command_misused("migrate");
    }
    exit_status = command_begin_reading(&session, false);
    if (exit_status != 0) {
        return command_end(&session, exit_status);
    }
    command_table_start(&listing.table, 3);
    json_write_start(&listing.json, &session.out);
    if (listing.is_json) {
        json_write_array_begin(&listing.json);
    }
    status = migrate_list(session.app->storage, show_migration, &listing);
    if (listing.is_json) {
        json_write_array_end(&listing.json);
        buffer_append_char(&session.out, '\n');
    }
    command_table_finish(&listing.table, &session.out);
    return command_end(&session, status == STATUS_OK ? 0 : command_fail_storage("migrate", status));
}

int migrate_command(int argc, char **argv)
{
    static const struct subcommand table[] = {{"up", migrate_up_command},
                                              {"down", migrate_down_command},
                                              {"status", migrate_status_command}};

    return command_dispatch("migrate", table, sizeof table / sizeof table[0], argc, argv);
}
