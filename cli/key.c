/*
 * quintet key: make, list and revoke the API keys of accounts. Keys of API_KEYS are configuration
 * and do not appear here.
 */
#include "account.h"
#include "command.h"

#include <string.h>

#include "auth/principal.h"
#include "base/clock.h"
#include "json/write.h"

#define SECONDS_PER_DAY ((int64_t)86400)
#define DAYS_MAXIMUM    36500
#define PAGE_SIZE       100

/* --- create --------------------------------------------------------------------------------- */

static void print_key(struct buffer *out, const char *id, const char *text,
                      const struct account *owner, bool json)
{
    struct json_writer writer;

    if (!json) {
        buffer_append_format(out, "id       %s\nAPI key  %s\n", id, text);
        return;
    }
    json_write_start(&writer, out);
    json_write_object_begin(&writer);
    json_write_member_text(&writer, "id", id);
    json_write_member_text(&writer, "owner", owner->email);
    json_write_member_text(&writer, "api_key", text);
    json_write_object_end(&writer);
    buffer_append_char(out, '\n');
}

static int create_for(struct command_session *session, const char *login,
                      const struct account_key_options *given, bool json)
{
    struct account owner;
    const char *id = NULL;
    const char *text = NULL;
    enum status status;
    int exit_status = account_find(session, login, &owner);

    if (exit_status != 0) {
        return exit_status;
    }
    status = account_make_key(session->app, &session->arena, owner.id, given, &id, &text);
    if (status == STATUS_TOO_LARGE) {
        return command_fail("%s has as many live keys as API_KEYS_PER_USER allows", owner.email);
    }
    if (status != STATUS_OK) {
        return command_fail_storage("key", status);
    }
    print_key(&session->out, id, text, &owner, json);
    return 0;
}

static int create_key(int argc, char **argv)
{
    struct account_key_options given = {.name = "", .scopes = "", .tier = ""};
    const char *days_text = NULL;
    bool json = false;
    const struct command_option options[] = {
        {.name = "name", .value = &given.name}, {.name = "scopes", .value = &given.scopes},
        {.name = "tier", .value = &given.tier}, {.name = "days", .value = &days_text},
        {.name = "json", .flag = &json},
    };
    struct command_session session = {0};
    int64_t days;
    int exit_status;

    if (!command_parse_options(&argc, argv, options, sizeof options / sizeof options[0]) ||
        argc != 2) {
        return command_misused("key");
    }
    if (days_text != NULL) {
        if (!command_parse_number("--days", days_text, 1, DAYS_MAXIMUM, &days)) {
            return EX_USAGE;
        }
        given.expires_at = clock_wall_seconds() + days * SECONDS_PER_DAY;
    }
    if (!command_check_text("--name", given.name, API_KEY_NAME_MAXIMUM) ||
        !command_check_text("--scopes", given.scopes, API_KEY_SCOPES_MAXIMUM) ||
        !command_check_text("--tier", given.tier, API_KEY_TIER_MAXIMUM)) {
        return COMMAND_FAILED;
    }
    if (!principal_scope_exists(given.scopes)) {
        return command_fail("--scopes: words like chart.read, with spaces between");
    }
    exit_status = command_begin(&session, true);
    if (exit_status == 0) {
        exit_status = create_for(&session, argv[1], &given, json);
    }
    return command_end(&session, exit_status);
}

/* --- list ----------------------------------------------------------------------------------- */

static const char *state_of(const struct api_key *key)
{
    if (key->revoked_at != 0) {
        return "revoked";
    }
    if (key->expires_at != 0 && key->expires_at <= clock_wall_seconds()) {
        return "expired";
    }
    if (key->owner_locked_until > clock_wall_seconds()) {
        return "owner locked";
    }
    return key->owner_is_active ? "live" : "owner inactive";
}

/* Where keys go: into `writer`, or into `table` when that is NULL. */
struct listing {
    struct json_writer *writer;
    struct command_table *table;
};

static void append_json(struct json_writer *writer, const struct api_key *key,
                        const struct account *owner, const char *created, const char *expires)
{
    json_write_object_begin(writer);
    json_write_member_text(writer, "id", key->id);
    json_write_member_text(writer, "owner", owner->email);
    json_write_member_text(writer, "name", key->name);
    json_write_member_text(writer, "scopes", key->scopes);
    json_write_member_text(writer, "tier", key->tier);
    json_write_member_text(writer, "state", state_of(key));
    json_write_member_text(writer, "created_at", created);
    json_write_member_text(writer, "expires_at", expires[0] != '\0' ? expires : NULL);
    json_write_object_end(writer);
}

static void add_row(struct command_table *table, const struct api_key *key,
                    const struct account *owner, const char *created, const char *expires)
{
    command_table_add(table, key->id);
    command_table_add(table, owner->email);
    command_table_add(table, state_of(key));
    command_table_add(table, key->name[0] != '\0' ? key->name : "-");
    command_table_add(table, key->tier[0] != '\0' ? key->tier : "-");
    command_table_add(table, created);
    command_table_add(table, expires[0] != '\0' ? expires : "never");
}

static void show_key(struct listing *listing, const struct api_key *key,
                     const struct account *owner)
{
    struct buffer created;
    struct buffer expires;

    buffer_init(&created, 64);
    buffer_init(&expires, 64);
    command_append_time(&created, key->created_at, "-");
    command_append_time(&expires, key->expires_at, "");
    if (listing->writer != NULL) {
        append_json(listing->writer, key, owner, buffer_text(&created), buffer_text(&expires));
    } else {
        add_row(listing->table, key, owner, buffer_text(&created), buffer_text(&expires));
    }
    buffer_release(&created);
    buffer_release(&expires);
}

static int show_keys_of(struct command_session *session, const struct account *owner, void *context)
{
    size_t count;

    for (int64_t offset = 0;; offset += (int64_t)count) {
        struct api_key *keys;
        int64_t total;
        enum status status =
            api_key_list(session->app->storage, &session->arena, owner->id, clock_wall_seconds(),
                         PAGE_SIZE, offset, &keys, &count, &total);

        if (status != STATUS_OK) {
            return command_fail_storage("keys", status);
        }
        for (size_t i = 0; i < count; i++) {
            show_key(context, &keys[i], owner);
        }
        if (count < PAGE_SIZE) {
            return 0;
        }
    }
}

/* Of the account `login`, or of all when that is NULL. */
static int show_keys(struct command_session *session, const char *login, struct listing *listing)
{
    struct account owner;
    int exit_status;

    if (login == NULL) {
        return account_each(session, show_keys_of, listing);
    }
    exit_status = account_find(session, login, &owner);
    return exit_status == 0 ? show_keys_of(session, &owner, listing) : exit_status;
}

static int list_keys(int argc, char **argv)
{
    bool json = false;
    const struct command_option options[] = {{.name = "json", .flag = &json}};
    struct command_session session = {0};
    struct command_table table;
    struct json_writer writer;
    const char *login;
    int exit_status;

    if (!command_parse_options(&argc, argv, options, 1) || argc > 2) {
        return command_misused("key");
    }
    login = argc == 2 ? argv[1] : NULL;
    exit_status = command_begin_reading(&session, true);
    if (exit_status == 0 && json) {
        json_write_start(&writer, &session.out);
        json_write_array_begin(&writer);
        exit_status = show_keys(&session, login, &(struct listing){.writer = &writer});
        json_write_array_end(&writer);
        buffer_append_char(&session.out, '\n');
    } else if (exit_status == 0) {
        command_table_start(&table, 7);
        exit_status = show_keys(&session, login, &(struct listing){.table = &table});
        command_table_finish(&table, &session.out);
    }
    return command_end(&session, exit_status);
}

/* --- revoke --------------------------------------------------------------------------------- */

static int revoke_key(int argc, char **argv)
{
    struct command_session session = {0};
    enum status status;
    int exit_status;

    if (!command_parse_options(&argc, argv, NULL, 0) || argc != 2) {
        return command_misused("key");
    }
    exit_status = command_begin(&session, true);
    if (exit_status == 0) {
        status = api_key_revoke(session.app->storage, NULL, argv[1], clock_wall_seconds());
        if (status == STATUS_NOT_FOUND) {
            exit_status = command_fail("no such key: %s", argv[1]);
        } else if (status != STATUS_OK) {
            exit_status = command_fail_storage(argv[1], status);
        } else {
            buffer_append_format(&session.out, "%s is revoked\n", argv[1]);
        }
    }
    return command_end(&session, exit_status);
}

int key_command(int argc, char **argv)
{
    static const struct subcommand table[] = {
        {"create", create_key}, {"list", list_keys}, {"revoke", revoke_key}};

    return command_dispatch("key", table, sizeof table / sizeof table[0], argc, argv);
}
