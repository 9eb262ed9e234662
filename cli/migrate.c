/*
 * quintet migrate: the schema of the database, step by step. Programs bring SQLite up by
 * themselves when they start; this is for looking, for going back, and for doing it beforehand.
 */
#include "command.h"

#include "storage/migrate.h"
#include "json/write.h"

#define STEPS_MAXIMUM 10000

/* 0, or the exit status after the message. */
static int check(enum status status, const struct buffer *problem)
{
    if (status == STATUS_OK) {
        return 0;
    }
    return problem->length > 0 ? command_fail("%s", buffer_text(problem))
                               : command_fail_storage("migrate", status);
}

/* Goes up, or down by `steps` if that is not 0, and says where it ended. */
static int move_schema(int steps)
{
    struct command_session session = {0};
    struct migrate_status now = {0};
    struct buffer problem;
    int exit_status = command_begin(&session, false);

    buffer_init(&problem, 4096);
    if (exit_status == 0) {
        exit_status = check(steps > 0 ? migrate_down(session.app->storage, steps, &problem)
                                      : migrate_up(session.app->storage, &problem),
                            &problem);
    }
    if (exit_status == 0) {
        exit_status = check(migrate_read_status(session.app->storage, &now), &problem);
    }
    buffer_append_format(&session.out, "schema %d of %d\n", now.version, now.latest);
    buffer_release(&problem);
    return command_end(&session, exit_status);
}

static int migrate_up_command(int argc, char **argv)
{
    if (!command_parse_options(&argc, argv, NULL, 0) || argc != 1) {
        return command_misused("migrate");
    }
    return move_schema(0);
}

static int migrate_down_command(int argc, char **argv)
{
    int64_t steps = 1;

    if (!command_parse_options(&argc, argv, NULL, 0) || argc > 2) {
        return command_misused("migrate");
    }
    if (argc == 2 && !command_parse_number("N", argv[1], 1, STEPS_MAXIMUM, &steps)) {
        return EX_USAGE;
    }
    return move_schema((int)steps);
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
    exit_status = command_begin(&session, false);
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
