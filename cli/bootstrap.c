/*
 * quintet bootstrap-admin: what a first start needs to be usable. Where there is no account yet, it
 * makes an administrator with a one-time password and an API key and shows both, once. Where there
 * is one, it does nothing and prints nothing, so that it may run before every start; of several
 * that run at once only one makes the account.
 */
#include "account.h"
#include "command.h"

#include "storage/migrate.h"
#include "json/write.h"

/* example.com is nobody's (RFC 2606): mail to this address reaches nobody. */
#define DEFAULT_EMAIL "admin@example.com"
#define USERNAME      "admin"

static int migrate(struct command_session *session)
{
    struct buffer problem;
    enum status status;
    int exit_status = 0;

    buffer_init(&problem, 4096);
    status = migrate_up(session->app->storage, &problem);
    if (status != STATUS_OK) {
        exit_status = problem.length > 0 ? command_fail("%s", buffer_text(&problem))
                                         : command_fail_storage("migrate", status);
    }
    buffer_release(&problem);
    return exit_status;
}

static void print_made(struct buffer *out, const struct account *account, const char *password,
                       const char *key, bool json)
{
    struct json_writer writer;

    if (!json) {
        buffer_append_format(out, "administrator  %s\npassword       %s\nAPI key        %s\n",
                             account->email, password, key);
        return;
    }
    json_write_start(&writer, out);
    json_write_object_begin(&writer);
    json_write_member_text(&writer, "email", account->email);
    json_write_member_text(&writer, "password", password);
    json_write_member_text(&writer, "api_key", key);
    json_write_object_end(&writer);
    buffer_append_char(out, '\n');
}

static int make_administrator(struct command_session *session, const char *email, bool json)
{
    static const struct account_key_options key_options = {
        .name = "first administrator", .scopes = "", .tier = ""};
    struct account_new given = {
        .email = email, .username = USERNAME, .is_superuser = true, .is_one_time = true};
    char password[ACCOUNT_PASSWORD_SIZE];
    struct account account;
    const char *id = NULL;
    const char *key = NULL;
    enum status status;

    account_make_password(password);
    status = account_hash_password(session->app, &session->arena, password, &given.password_hash);
    if (status != STATUS_OK) {
        return command_fail("cannot hash the password: %s", status_text(status));
    }
    status = account_create(session->app->storage, &session->arena, &given, &account);
    if (status == STATUS_CONFLICT) {
        return 0; /* another one was faster */
    }
    if (status == STATUS_OK) {
        status =
            account_make_key(session->app, &session->arena, account.id, &key_options, &id, &key);
    }
    if (status != STATUS_OK) {
        return command_fail_storage(email, status);
    }
    print_made(&session->out, &account, password, key, json);
    return 0;
}

int bootstrap_command(int argc, char **argv)
{
    const char *email = DEFAULT_EMAIL;
    bool json = false;
    const struct command_option options[] = {{.name = "email", .value = &email},
                                             {.name = "json", .flag = &json}};
    struct command_session session = {0};
    enum status status;
    int exit_status;

    if (!command_parse_options(&argc, argv, options, 2) || argc != 1) {
        return command_misused("bootstrap-admin");
    }
    exit_status = command_begin(&session, false);
    if (exit_status == 0) {
        exit_status = account_fold_email(&session, email, &email);
    }
    if (exit_status == 0) {
        exit_status = migrate(&session);
    }
    if (exit_status == 0) {
        status = account_exists_any(session.app->storage);
        if (status == STATUS_NOT_FOUND) {
            exit_status = make_administrator(&session, email, json);
        } else if (status != STATUS_OK) {
            exit_status = command_fail_storage("users", status);
        }
    }
    return command_end(&session, exit_status);
}
