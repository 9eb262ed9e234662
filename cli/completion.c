/*
 * quintet completion: scripts that make a shell complete commands and their words, from the table
 * of commands.
 */
#include "command.h"

#include <string.h>

#define SCRIPT_MAXIMUM ((size_t)64 * 1024)

static void append_names(struct buffer *out)
{
    for (size_t i = 0; i < command_count; i++) {
        buffer_append_format(out, "%s%s", i == 0 ? "" : " ", commands[i].name);
    }
}

static void append_bash(struct buffer *out)
{
    buffer_append_text(out, "# bash completion for quintet: source <(quintet completion bash)\n"
                            "_quintet() {\n"
                            "    local words=\n"
                            "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                            "        words='");
    append_names(out);
    buffer_append_text(out, "'\n    else\n        case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].name, "help") == 0) {
            buffer_append_text(out, "        help) words='");
            append_names(out);
            buffer_append_text(out, "' ;;\n");
        } else {
            buffer_append_format(out, "        %s) words='%s' ;;\n", commands[i].name,
                                 commands[i].words);
        }
    }
    buffer_append_text(
        out, "        esac\n    fi\n"
             "    COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
             "complete -F _quintet quintet\n");
}

/* zsh runs the same function through its emulation of bash's completion. */
static void append_zsh(struct buffer *out)
{
    buffer_append_text(out, "# zsh completion for quintet: source <(quintet completion zsh)\n"
                            "autoload -U +X bashcompinit && bashcompinit\n");
    append_bash(out);
}

static void append_fish(struct buffer *out)
{
    buffer_append_text(out, "# fish completion for quintet: quintet completion fish | source\n"
                            "complete -c quintet -f\n");
    for (size_t i = 0; i < command_count; i++) {
        buffer_append_format(out,
                             "complete -c quintet -n __fish_use_subcommand -a %s -d '%s'\n"
                             "complete -c quintet -n '__fish_seen_subcommand_from %s' -a '%s'\n",
                             commands[i].name, commands[i].summary, commands[i].name,
                             commands[i].words);
    }
}

int completion_command(int argc, char **argv)
{
    static const struct {
        const char *shell;
        void (*append)(struct buffer *out);
    } shells[] = {{"bash", append_bash}, {"zsh", append_zsh}, {"fish", append_fish}};
    struct buffer script;
    int exit_status;

    for (size_t i = 0; argc == 2 && i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(argv[1], shells[i].shell) == 0) {
            buffer_init(&script, SCRIPT_MAXIMUM);
            shells[i].append(&script);
            exit_status = command_print(&script);
            buffer_release(&script);
            return exit_status;
        }
    }
    return command_misused("completion");
}
