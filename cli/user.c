/*
 * quintet user: make and change accounts, and invite people.
 *
 * Passwords come from standard input or are made here and shown once; never from arguments, which
 * every user of the host can read. One that `password` makes is a one-time password. Locking an
 * account ends its sessions and suspends its API keys; setting its password ends both for good.
 */
#include "account.h"
#include "command.h"

#include <string.h>

#include "auth/digest.h"
#include "auth/names.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "stores/invitations.h"
#include "json/write.h"

#define LOCKED_FOREVER  ((int64_t)253402300799) /* 9999-12-31T23:59:59Z */
#define MINUTES_MAXIMUM 5256000                 /* ten years */

#define SECONDS_PER_DAY     ((int64_t)86400)
#define INVITE_DAYS         7
#define INVITE_DAYS_MAXIMUM 365
#define INVITE_RANDOM_BYTES 16

/* --- Passwords ------------------------------------------------------------------------------ */

/* The password of standard input, or one that is made here: *is_made tells. */
static int choose_password(struct command_session *session, bool from_stdin, const char **password,
                           bool *is_made)
{
    char made[ACCOUNT_PASSWORD_SIZE];

    *is_made = !from_stdin;
    if (from_stdin) {
        return account_read_password(&session->arena, password) == STATUS_OK
                   ? 0
                   : command_fail("a password is one line of 8 to 1024 bytes of UTF-8 without NUL");
    }
    account_make_password(made);
    *password = arena_copy(&session->arena, made, strlen(made));
    memory_wipe(made, sizeof made);
    return *password != NULL ? 0 : command_fail("out of memory");
}

static int hash_password(struct command_session *session, const char *password, const char **hash)
{
    enum status status = account_hash_password(session->app, &session->arena, password, hash);

    return status == STATUS_OK ? 0
                               : command_fail("cannot hash the password: %s", status_text(status));
}

/* Shows the password only if it was made here. */
static void print_credentials(struct buffer *out, const struct account *account,
                              const char *password, bool is_made, bool json)
{
    struct json_writer writer;

    if (json) {
        json_write_start(&writer, out);
        json_write_object_begin(&writer);
        json_write_member_text(&writer, "id", account->id);
        json_write_member_text(&writer, "email", account->email);
        if (is_made) {
            json_write_member_text(&writer, "password", password);
        }
        json_write_object_end(&writer);
        buffer_append_char(out, '\n');
        return;
    }
    buffer_append_format(out, "e-mail    %s\n", account->email);
    if (is_made) {
        buffer_append_format(out, "password  %s\n", password);
    }
}

/* --- create --------------------------------------------------------------------------------- */

static int create_account(struct command_session *session, struct account_new *given,
                          bool from_stdin, bool json)
{
    struct account account;
    const char *password = NULL;
    bool is_made = false;
    enum status status;
    int exit_status = choose_password(session, from_stdin, &password, &is_made);

    if (exit_status == 0) {
        exit_status = hash_password(session, password, &given->password_hash);
    }
    if (exit_status != 0) {
        return exit_status;
    }
    status = account_create(session->app->storage, &session->arena, given, &account);
    if (status == STATUS_CONFLICT) {
        return command_fail("the e-mail address or the username is taken");
    }
    if (status != STATUS_OK) {
        return command_fail_storage(given->email, status);
    }
    print_credentials(&session->out, &account, password, is_made, json);
    return 0;
}

static int create_user(int argc, char **argv)
{
    struct account_new given = {0};
    bool from_stdin = false;
    bool json = false;
    const struct command_option options[] = {
        {.name = "username", .value = &given.username},
        {.name = "name", .value = &given.name},
        {.name = "admin", .flag = &given.is_superuser},
        {.name = "password-stdin", .flag = &from_stdin},
        {.name = "json", .flag = &json},
    };
    struct command_session session = {0};
    int exit_status;

    if (!command_parse_options(&argc, argv, options, sizeof options / sizeof options[0]) ||
        argc != 2) {
        return command_misused("user");
    }
    if (given.name != NULL && !command_check_text("--name", given.name, ACCOUNT_NAME_MAXIMUM)) {
        return COMMAND_FAILED;
    }
    exit_status = command_begin(&session, true);
    if (exit_status == 0) {
        exit_status = account_fold_email(&session, argv[1], &given.email);
    }
    if (exit_status == 0 && given.username != NULL) {
        exit_status = account_fold_username(&session, given.username, &given.username);
    }
    if (exit_status == 0) {
        exit_status = create_account(&session, &given, from_stdin, json);
    }
    return command_end(&session, exit_status);
}

/* --- list ----------------------------------------------------------------------------------- */

static bool is_locked(const struct account *account)
{
    return account->locked_until > clock_wall_seconds();
}

static void append_json(struct json_writer *writer, const struct account *account)
{
    struct buffer time;

    buffer_init(&time, 64);
    command_append_time(&time, account->created_at, "");
    json_write_object_begin(writer);
    json_write_member_text(writer, "id", account->id);
    json_write_member_text(writer, "email", account->email);
    json_write_member_text(writer, "username", account->username);
    json_write_member_text(writer, "name", account->name);
    json_write_member_boolean(writer, "is_active", account->is_active);
    json_write_member_boolean(writer, "is_superuser", account->is_superuser);
    json_write_member_boolean(writer, "is_locked", is_locked(account));
    json_write_member_text(writer, "created_at", buffer_text(&time));
    json_write_object_end(writer);
    buffer_release(&time);
}

static void add_row(struct command_table *table, const struct account *account)
{
    struct buffer time;

    buffer_init(&time, 64);
    command_append_time(&time, account->created_at, "-");
    command_table_add(table, account->email);
    command_table_add(table, account->username != NULL ? account->username : "-");
    command_table_add(table, account->is_superuser ? "admin" : "user");
    command_table_add(table, is_locked(account)   ? "locked"
                             : account->is_active ? "active"
                                                  : "inactive");
    command_table_add(table, buffer_text(&time));
    buffer_release(&time);
}

/* Where accounts go: into `writer`, or into `table` when that is NULL. */
struct listing {
    struct json_writer *writer;
    struct command_table *table;
};

static int show_account(struct command_session *session, const struct account *account,
                        void *context)
{
    struct listing *listing = context;

    (void)session;
    if (listing->writer != NULL) {
        append_json(listing->writer, account);
    } else {
        add_row(listing->table, account);
    }
    return 0;
}

static int list_users(int argc, char **argv)
{
    bool json = false;
    const struct command_option options[] = {{.name = "json", .flag = &json}};
    struct command_session session = {0};
    struct command_table table;
    struct json_writer writer;
    int exit_status;

    if (!command_parse_options(&argc, argv, options, 1) || argc != 1) {
        return command_misused("user");
    }
    exit_status = command_begin_reading(&session, true);
    if (exit_status == 0 && json) {
        json_write_start(&writer, &session.out);
        json_write_array_begin(&writer);
        exit_status = account_each(&session, show_account, &(struct listing){.writer = &writer});
        json_write_array_end(&writer);
        buffer_append_char(&session.out, '\n');
    } else if (exit_status == 0) {
        command_table_start(&table, 5);
        exit_status = account_each(&session, show_account, &(struct listing){.table = &table});
        command_table_finish(&table, &session.out);
    }
    return command_end(&session, exit_status);
}

/* --- Changes to one account ----------------------------------------------------------------- */

/* One change; `detail` belongs to it. Returns 0 or the exit status. */
typedef int change(struct command_session *session, const struct account *account,
                   const void *detail);

static int change_account(const char *login, change *apply, const void *detail)
{
    struct command_session session = {0};
    struct account account;
    int exit_status = command_begin(&session, true);

    if (exit_status == 0) {
        exit_status = account_find(&session, login, &account);
    }
    if (exit_status == 0) {
        exit_status = apply(&session, &account, detail);
    }
    return command_end(&session, exit_status);
}

static int report(struct command_session *session, const struct account *account,
                  enum status status, const char *done)
{
    if (status != STATUS_OK) {
        return command_fail_storage(account->email, status);
    }
    buffer_append_format(&session->out, "%s %s\n", account->email, done);
    return 0;
}

static int apply_promotion(struct command_session *session, const struct account *account,
                           const void *detail)
{
    (void)detail;
    return report(session, account, account_set_superuser(session->app->storage, account->id, true),
                  "is an administrator");
}

/* Locks until `until`, or unlocks with 0. */
static enum status set_locked(struct command_session *session, const struct account *account,
                              int64_t until)
{
    unsigned char names[NAMES_OF_ACCOUNT][LOCKOUT_NAME_SIZE];
    size_t count;
    enum status status = names_digest_account(account, names, &count);

    return status != STATUS_OK
               ? status
               : account_set_locked(session->app->storage, account->id, until, clock_wall_seconds(),
                                    (const unsigned char(*)[LOCKOUT_NAME_SIZE])names, count);
}

static int apply_lock(struct command_session *session, const struct account *account,
                      const void *detail)
{
    const int64_t *until = detail;

    return report(session, account, set_locked(session, account, *until), "is locked");
}

static int apply_unlock(struct command_session *session, const struct account *account,
                        const void *detail)
{
    (void)detail;
    return report(session, account, set_locked(session, account, 0), "is not locked");
}

static int apply_deletion(struct command_session *session, const struct account *account,
                          const void *detail)
{
    (void)detail;
    return report(session, account, account_delete(session->app->storage, account->id),
                  "is deleted");
}

struct password_options {
    bool from_stdin;
    bool json;
};

static int apply_password(struct command_session *session, const struct account *account,
                          const void *detail)
{
    const struct password_options *options = detail;
    const char *password = NULL;
    const char *hash = NULL;
    bool is_made = false;
    enum status status;
    int exit_status = choose_password(session, options->from_stdin, &password, &is_made);

    if (exit_status == 0) {
        exit_status = hash_password(session, password, &hash);
    }
    if (exit_status != 0) {
        return exit_status;
    }
    unsigned char names[NAMES_OF_ACCOUNT][LOCKOUT_NAME_SIZE];
    struct account_password_change replacement = {
        .id = account->id,
        .new_hash = hash,
        .is_one_time = is_made,
        .names = (const unsigned char(*)[LOCKOUT_NAME_SIZE])names,
        .now = clock_wall_seconds(),
    };
    status = names_digest_account(account, names, &replacement.name_count);
    if (status == STATUS_OK) {
        status = account_change_password(session->app->storage, &replacement);
    }
    if (status != STATUS_OK) {
        return command_fail_storage(account->email, status);
    }
    print_credentials(&session->out, account, password, is_made, options->json);
    return 0;
}

static int promote_user(int argc, char **argv)
{
    if (!command_parse_options(&argc, argv, NULL, 0) || argc != 2) {
        return command_misused("user");
    }
    return change_account(argv[1], apply_promotion, NULL);
}

static int lock_user(int argc, char **argv)
{
    const char *text = NULL;
    const struct command_option options[] = {{.name = "minutes", .value = &text}};
    int64_t minutes;
    int64_t until = LOCKED_FOREVER;

    if (!command_parse_options(&argc, argv, options, 1) || argc != 2) {
        return command_misused("user");
    }
    if (text != NULL) {
        if (!command_parse_number("--minutes", text, 1, MINUTES_MAXIMUM, &minutes)) {
            return EX_USAGE;
        }
        until = clock_wall_seconds() + minutes * 60;
    }
    return change_account(argv[1], apply_lock, &until);
}

static int unlock_user(int argc, char **argv)
{
    if (!command_parse_options(&argc, argv, NULL, 0) || argc != 2) {
        return command_misused("user");
    }
    return change_account(argv[1], apply_unlock, NULL);
}

static int delete_user(int argc, char **argv)
{
    if (!command_parse_options(&argc, argv, NULL, 0) || argc != 2) {
        return command_misused("user");
    }
    return change_account(argv[1], apply_deletion, NULL);
}

/* --- invite ----------------------------------------------------------------------------------- */

static int make_invitation(struct command_session *session, int64_t days)
{
    unsigned char secret[INVITE_RANDOM_BYTES];
    unsigned char hash[INVITATION_HASH_SIZE];
    char code[2 * INVITE_RANDOM_BYTES + 1];
    int64_t now = clock_wall_seconds();
    enum status status;

    random_bytes(secret, sizeof secret);
    text_encode_hex(secret, sizeof secret, code);
    status = digest_sha256(slice_of(code), hash);
    if (status == STATUS_OK) {
        status = invitation_create(session->app->storage, hash, now, now + days * SECONDS_PER_DAY);
    }
    if (status != STATUS_OK) {
        return command_fail_storage("invitation", status);
    }
    buffer_append_format(&session->out, "invite code  %s\n", code);
    return 0;
}

static int invite_user(int argc, char **argv)
{
    const char *text = NULL;
    const struct command_option options[] = {{.name = "days", .value = &text}};
    struct command_session session = {0};
    int64_t days = INVITE_DAYS;
    int exit_status;

    if (!command_parse_options(&argc, argv, options, 1) || argc != 1) {
        return command_misused("user");
    }
    if (text != NULL && !command_parse_number("--days", text, 1, INVITE_DAYS_MAXIMUM, &days)) {
        return EX_USAGE;
    }
    exit_status = command_begin(&session, true);
    if (exit_status == 0) {
        exit_status = make_invitation(&session, days);
    }
    return command_end(&session, exit_status);
}

static int set_password(int argc, char **argv)
{
    struct password_options given = {0};
    const struct command_option options[] = {{.name = "password-stdin", .flag = &given.from_stdin},
                                             {.name = "json", .flag = &given.json}};

    if (!command_parse_options(&argc, argv, options, 2) || argc != 2) {
        return command_misused("user");
    }
    return change_account(argv[1], apply_password, &given);
}

int user_command(int argc, char **argv)
{
    static const struct subcommand table[] = {
        {"create", create_user}, {"list", list_users},    {"promote", promote_user},
        {"lock", lock_user},     {"unlock", unlock_user}, {"password", set_password},
        {"delete", delete_user}, {"invite", invite_user},
    };

    return command_dispatch("user", table, sizeof table / sizeof table[0], argc, argv);
}
