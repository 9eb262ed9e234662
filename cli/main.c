/*
 * quintet: the suite's command. This file is its table and nothing else; each family of commands
 * has a file of its own.
 */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

static int help_command(int argc, char **argv);
static int version_command(int argc, char **argv);

const struct command commands[] = {
    {"bootstrap-admin", "make the first administrator and an API key, once",
     "bootstrap-admin [--email ADDRESS] [--json]\n", "--email --json", bootstrap_command},
    {"check", "say what keeps the suite from running", "check [--json]\n", "--json", check_command},
    {"completion", "print a completion script for a shell", "completion bash|zsh|fish\n",
     "bash zsh fish", completion_command},
    {"config", "show the settings that count",
     "config [--all] [--reveal] [--format table|env|json]\nconfig --sample | --markdown | --files "
     "| --remarks\n",
     "--all --reveal --format --sample --markdown --files --remarks", config_command},
    {"help", "explain a command", "help [COMMAND]\n", "", help_command},
    {"key", "make, list and revoke API keys",
     "key create LOGIN [--name NAME] [--scopes \"SCOPE ...\"] [--tier TIER] [--days N] [--json]\n"
     "key list [LOGIN] [--json]\n"
     "key revoke ID\n",
     "create list revoke --name --scopes --tier --days --json", key_command},
    {"migrate", "bring the database schema up or down",
     "migrate up\nmigrate down [N] [--yes]\nmigrate status [--json]\n",
     "up down status --json --yes", migrate_command},
    {"user", "make and change accounts",
     "user create EMAIL [--username NAME] [--name NAME] [--admin] [--password-stdin] [--json]\n"
     "user list [--json]\n"
     "user promote LOGIN\n"
     "user lock LOGIN [--minutes N]\n"
     "user unlock LOGIN\n"
     "user password LOGIN [--password-stdin] [--json]\n"
     "user delete LOGIN\n"
     "user invite [--days N]\n",
     "create list promote lock unlock password delete invite --username --name --admin --minutes "
     "--days --password-stdin --json",
     user_command},
    {"version", "print the version", "version\n", "", version_command},
};

const size_t command_count = sizeof commands / sizeof commands[0];

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static void print_commands(FILE *out)
{
    fputs("usage: quintet COMMAND [ARGUMENT ...]\n\n", out);
    for (size_t i = 0; i < command_count; i++) {
        fprintf(out, "  %-16s %s\n", commands[i].name, commands[i].summary);
    }
    fputs("\nquintet help COMMAND says more; quintet(1) says all.\n", out);
}

static int help_command(int argc, char **argv)
{
    const struct command *command;

    if (argc > 2) {
        return command_misused("help");
    }
    if (argc < 2) {
        print_commands(stdout);
        return 0;
    }
    command = find_command(argv[1]);
    if (command == NULL) {
        (void)command_fail("no such command: %s", argv[1]);
        return EX_USAGE;
    }
    printf("%s: %s\n\n", command->name, command->summary);
    command_print_usage(command->usage, stdout);
    return 0;
}

static int version_command(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        return command_misused("version");
    }
    printf("quintet %s\n", PACKAGE_VERSION);
    return 0;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Whether a word asks for help, wherever it stands before "--". */
static bool asks_for_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (is_help(argv[i])) {
            return true;
        }
    }
    return false;
}

static int run(int argc, char **argv)
{
    const struct command *command;
    const char *name = argc > 1 ? argv[1] : NULL;

    if (name == NULL) {
        print_commands(stderr);
        return EX_USAGE;
    }
    if (is_help(name)) {
        name = "help";
    } else if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    command = find_command(name);
    if (command == NULL) {
        (void)command_fail("no such command: %s (quintet help lists them)", name);
        return EX_USAGE;
    }
    if (asks_for_help(argc - 2, argv + 2)) {
        command_print_usage(command->usage, stdout);
        return 0;
    }
    return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    int exit_status;

    file_hold_standard_descriptors();
    exit_status = run(argc, argv);
    if (exit_status == 0 && (fflush(stdout) != 0 || ferror(stdout) != 0)) {
        (void)command_fail("cannot write: %s", strerror(errno));
        exit_status = EX_IOERR;
    }
    return exit_status;
}
