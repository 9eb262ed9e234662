/*
 * Any bytes as a configuration file: the parser neither crashes nor gives a name or value that its
 * format does not allow, and a value that a setting accepts reads back the same once printed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/internal.h"

#define ARENA_MAXIMUM ((size_t)8 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_name(const char *name)
{
    require(name[0] != '\0' && (name[0] < '0' || name[0] > '9'));
    for (; *name != '\0'; name++) {
        require((*name >= 'A' && *name <= 'Z') || (*name >= 'a' && *name <= 'z') || *name == '_' ||
                (*name >= '0' && *name <= '9'));
    }
}

/* Printing and parsing again must end where it began. */
static void check_value(const char *name, const char *text, struct arena *arena)
{
    int index = config_find_setting(name);
    size_t count;
    const struct config_setting *setting;
    union config_value value;
    union config_value again;
    struct config_problem problem = {{NULL, 0}, NULL};
    struct buffer printed[2];
    enum status status;

    if (index < 0) {
        return;
    }
    setting = &config_settings(&count)[index];
    status = config_parse_value(setting, arena, slice_of(text), &value, &problem);
    if (status != STATUS_OK) {
        require(status == STATUS_NO_MEMORY || problem.phrase != NULL);
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        buffer_init(&printed[i], ARENA_MAXIMUM);
    }
    require(config_print_value(setting, &value, &printed[0]) == STATUS_OK);
    status = config_parse_value(setting, arena,
                                (struct slice){buffer_text(&printed[0]), printed[0].length}, &again,
                                &problem);
    /* A value may be empty without being allowed to be: nothing is read back then. */
    if (printed[0].length > 0 && status != STATUS_NO_MEMORY) {
        require(status == STATUS_OK);
        require(config_print_value(setting, &again, &printed[1]) == STATUS_OK);
        require(strcmp(buffer_text(&printed[0]), buffer_text(&printed[1])) == 0);
    }
    for (size_t i = 0; i < 2; i++) {
        buffer_release(&printed[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_file_parser parser;
    struct config_assignment out;
    struct arena arena;
    int line = 0;
    enum status status;

    arena_init(&arena, ARENA_MAXIMUM);
    config_file_start(&parser, (struct slice){(const char *)data, size});
    while ((status = config_file_next(&parser, &arena, &out)) == STATUS_OK) {
        require(parser.line > line);
        line = parser.line;
        check_name(out.name);
        require(text_is_utf8(out.value, strlen(out.value)));
        require(strlen(out.value) <= CONFIG_LINE_MAXIMUM);
        check_value(out.name, out.value, &arena);
    }
    require(status == STATUS_NOT_FOUND || status == STATUS_INVALID || status == STATUS_NO_MEMORY);
    require(status != STATUS_INVALID || (parser.problem != NULL && parser.line > 0));
    arena_destroy(&arena);
    return 0;
}
