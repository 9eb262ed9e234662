"""script/lint: each check finds what it is there for and leaves alone what is right."""
import pytest

HEAD = "/* A file for a test. */\n"


@pytest.fixture
def house(tree):
    tree.copy("script/lint", ".clang-format")
    return tree


def faults(tree):
    """Names of the checks that failed, and everything that was said."""
    result = tree.run("script/lint", "--fast")
    lines = result.stdout.splitlines()
    failed = [line[len("not ok "):] for line in lines if line.startswith("not ok ")]
    assert lines[-1].endswith(f" passed, {len(failed)} failed"), result.stdout + result.stderr
    assert (result.returncode == 0) == (not failed)
    return failed, result.stdout


@pytest.mark.parametrize("name, line, check", [
    ("shared/base/a.c", "void a(char *b, char *c) { strcpy(b, c); }", "calls: nothing unbounded"),
    ("cli/a.c", "int b = atoi(c);", "calls: nothing unbounded"),
    ("tests/unit/a.c", "sprintf(b, c);", "calls: nothing unbounded"),
    ("shared/json/a.c", "void *b = malloc(3);", "calls: memory comes"),
    ("shared/json/a.c", "free (b);", "calls: memory comes"),
    ("shared/json/a.c", "hook(b, free);", "calls: memory comes"),
    ("shared/json/a.c", "void (*b)(void *) = free;", "calls: memory comes"),
    ("shared/base/a.c", '#include "json/json.h"', "includes: shared/ in its order"),
    ("shared/auth/a.c", '#include "http/request.h"', "includes: shared/ in its order"),
    ("shared/base/a.c", '#include "fcgi-apps/auth/auth.h"', "includes: shared/ in its order"),
    ("fcgi-apps/chat/a.c", '#include "../auth/auth.h"', "includes: shared/ in its order"),
    ("shared/surprise/a.c", '#include "base/text.h"', "includes: shared/ in its order"),
    ("fcgi-apps/chat/a.c", "#include <curl/curl.h>", "includes: each library"),
    ("fcgi-apps/auth/a.c", "#include <sqlite3.h>", "includes: each library"),
    ("shared/transport/a.c", "#include <fcgiapp.h>", "includes: each library"),
    ("shared/json/a.c", "/* TO" "DO */", "files: nothing left to do"),
    ("shared/json/a.c", "\tint b;", "files: no tabs"),
    ("shared/json/a.c", "int b; ", "files: no tabs"),
    ("shared/json/a.c", "int  b;", "layout"),
])
def test_a_fault_is_found_and_its_file_named(house, name, line, check):
    house.write(name, HEAD + line + "\n")
    failed, output = faults(house)
    assert any(fault.startswith(check) for fault in failed), output
    assert f"{name}:" in output


@pytest.mark.parametrize("name, text", [
    ("shared/base/a.c", "/* strcpy(a, b); free(c) */\n"),
    ("shared/base/a.c", HEAD + '\nconst char *b = "strcpy(a, b); /* free(c)";\n'),
    ("shared/base/memory.c", HEAD + "#include <stdlib.h>\n\nvoid release(void *pointer)\n{\n"
     "    free(pointer);\n}\n"),
    ("shared/json/a.c", HEAD + "#include <cjson/cJSON.h>\n\n#include \"base/text.h\"\n"),
    ("shared/base/a.c", HEAD + "\nint b(struct c *c)\n{\n    return c->free(c->malloc);\n}\n"),
    ("fcgi-apps/chat/a.c", HEAD + '#include "chat.h"\n#include "http/request.h"\n'),
])
def test_what_is_right_passes(house, name, text):
    house.write(name, text)
    failed, output = faults(house)
    assert not failed, output


def test_a_file_says_what_it_is_for(house):
    house.write("shared/base/a.c", "int a;\n")
    failed, _ = faults(house)
    assert failed == ["files: each opens with its purpose"]


@pytest.mark.parametrize("lines, is_fault, is_warning", [
    (700, False, False), (701, False, True), (900, False, True), (901, True, False)])
def test_a_long_file_is_warned_about_before_it_fails(house, lines, is_fault, is_warning):
    house.write("shared/base/a.c", HEAD + "// a\n" * (lines - 1))
    failed, output = faults(house)
    assert bool(failed) == is_fault
    assert ("warning: shared/base/a.c" in output) == is_warning


def test_a_broken_shell_script_is_found(house):
    house.write("script/broken", "#!/bin/sh\nif then\n")
    failed, _ = faults(house)
    assert failed == ["scripts: sh can read them"]
