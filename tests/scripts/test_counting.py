"""script/test: the last line tells the truth, whatever a test program does."""
import os

import pytest

GOOD = "printf '1..2\\nok 1 - a\\nok 2 - b\\n'"


@pytest.fixture
def runner(tree):
    """script/test with a build that consists of shell scripts."""
    tree.copy("script/test")
    tree.write("script/bootstrap", "#!/bin/sh\n", executable=True)
    tree.write("script/build", "#!/bin/sh\n", executable=True)
    programs = []

    def add(name, body):
        programs.append(name)
        tree.write(f"build/{name}", "#!/bin/sh\n" + body + "\n", executable=True)

    def run(*parts):
        tree.write("build/Makefile", f"print-unit-tests:\n\t@echo {' '.join(programs)}\n")
        result = tree.run("script/test", *parts)
        return result.stdout.splitlines()[-1], result.returncode, result.stdout

    tree.add = add
    tree.test = run
    return tree


def test_programs_are_summed(runner):
    runner.add("test_a", GOOD)
    runner.add("test_b", GOOD)
    assert runner.test("unit")[:2] == ("4 passed, 0 failed", 0)


@pytest.mark.parametrize("body, expected", [
    ("printf '1..2\\nok 1 - a\\nnot ok 2 - b\\n'; exit 1", "1 passed, 1 failed"),
    ("printf '1..2\\nok 1 - a\\nnot ok 2 # SKIP b\\n'", "1 passed, 1 failed"),
    ("printf '1..3\\nok 1 - a\\n'; kill -SEGV $$", "1 passed, 2 failed"),
    ("printf '1..3\\nok 1 - a\\n'", "1 passed, 2 failed"),
    ("printf '1..1\\nok 1 - a\\n1..1\\nnot ok 1 - b\\n'", "1 passed, 1 failed"),
    (GOOD + "; exit 3", "2 passed, 1 failed"),
    (GOOD + "; echo '==7== 8 bytes in 1 blocks are definitely lost in loss record 1 of 1'",
     "2 passed, 1 failed"),
    (GOOD + "; echo '==7==ERROR: LeakSanitizer: detected memory leaks'", "2 passed, 1 failed"),
    (GOOD + "; echo 'WARNING: ThreadSanitizer: data race (pid=7)'", "2 passed, 1 failed"),
    (GOOD + "; echo 'a.c:1:2: runtime error: left shift of 1'", "2 passed, 1 failed"),
    ("exit 0", "0 passed, 1 failed"),
    ("exit 127", "0 passed, 1 failed"),
])
def test_a_program_counts_as_what_it_did(runner, body, expected):
    runner.add("test_a", body)
    last, code, _ = runner.test("unit")
    assert last == expected
    assert (code == 0) == expected.endswith(" 0 failed")


def test_a_part_without_tests_has_failed(runner):
    last, code, output = runner.test("unit")
    assert last == "0 passed, 1 failed" and code != 0
    assert "unit (there are no tests)" in output


def test_an_absent_part_does_not_hide_another(runner):
    runner.add("test_a", GOOD)
    last, code, output = runner.test("unit", "sdk")
    assert last == "2 passed, 1 failed" and code != 0 and "sdk (there are no tests)" in output


def test_pytest_outcomes_are_counted(runner):
    runner.write("tests/api/test_all.py", "import pytest\ndef test_a(): pass\n"
                 "def test_b(): assert False\n@pytest.mark.skip(reason='why')\ndef test_c(): pass\n"
                 "@pytest.fixture\ndef broken(): raise OSError\ndef test_d(broken): pass\n")
    last, code, output = runner.test("api")
    assert last == "1 passed, 3 failed" and code != 0 and "[1] tests/api/test_all.py" in output


def test_only_what_needs_root_may_be_skipped_and_only_without_it(runner, monkeypatch):
    runner.write("tests/api/test_all.py", "import pytest\ndef test_a(): pass\n"
                 "def test_b(): pytest.skip('needs root to mount')\n")
    runner.write("bin/id", "#!/bin/sh\necho $USER_ID\n", executable=True)
    monkeypatch.setenv("PATH", f"{runner.root / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("USER_ID", "1000")
    assert runner.test("api")[:2] == ("1 passed, 0 failed", 0)
    monkeypatch.setenv("USER_ID", "0")
    assert runner.test("api")[0] == "1 passed, 1 failed"


def test_pytest_that_cannot_collect_has_failed(runner):
    runner.write("tests/api/test_all.py", "import no_such_module\n")
    last, code, _ = runner.test("api")
    assert last == "0 passed, 1 failed" and code != 0


@pytest.mark.parametrize("script", ["script/bootstrap", "script/build"])
def test_what_could_not_run_has_failed(runner, script):
    runner.add("test_a", GOOD)
    runner.write(script, "#!/bin/sh\necho the reason\nexit 1\n", executable=True)
    last, code, output = runner.test("unit")
    assert last == "0 passed, 1 failed" and code != 0 and "the reason" in output


def test_an_unknown_part_is_refused(runner):
    result = runner.run("script/test", "everything")
    assert result.returncode == 64 and "everything" in result.stderr
