"""tests/mutants: the mistakes it makes are small, compile in principle, and can be drawn again."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mutants"))

from mutants import ROOT, equivalents, product_files, sample  # noqa: E402
from operators import mutations  # noqa: E402

C = '''/* if (a < b) in a comment */
#define LIMIT 5
static bool fits(int a, int b)
{
    if (a < b && !b) {
        count(a, "seen");
        self->last = a;
        return true;
    }
    return status;
}
'''
SQL = "-- a = 1 in a comment\n-- name: x\nSELECT a FROM t WHERE a = ?1 AND b < ?2 ORDER BY a DESC LIMIT 5;\n"


def made(path, source):
    return {(each.operator, each.apply(source).splitlines()[each.line - 1].strip()) for each in mutations(path, source)}


def test_code_gets_the_usual_mistakes():
    found = made("shared/x.c", C)
    assert ("boundary", "if (a <= b && !b) {") in found
    assert ("comparison", "if (a >= b && !b) {") in found
    assert ("connective", "if (a < b || !b) {") in found
    assert ("negation", "if (a < b && b) {") in found
    assert ("condition", "if (!(a < b && !b)) {") in found
    assert ("removed call", "") in found and ("removed assignment", "") in found
    assert ("another word", 'count(a, "mutant");') in found
    assert ("truth", "return false;") in found
    assert ("another status", "return STATUS_OK;") in found


def test_statements_get_theirs():
    found = made("sql/sqlite/queries/x.sql", SQL)
    assert ("dropped condition", "SELECT a FROM t WHERE a = ?1  ORDER BY a DESC LIMIT 5;") in found
    assert ("comparison", "SELECT a FROM t WHERE a <> ?1 AND b < ?2 ORDER BY a DESC LIMIT 5;") in found
    assert ("order", "SELECT a FROM t WHERE a = ?1 AND b < ?2 ORDER BY a ASC LIMIT 5;") in found
    assert ("constant", "SELECT a FROM t WHERE a = ?1 AND b < ?2 ORDER BY a DESC LIMIT 6;") in found


def test_comments_and_directives_are_left_alone():
    for path, source in (("shared/x.c", C), ("sql/x.sql", SQL)):
        for mutation in mutations(path, source):
            line = source.splitlines()[mutation.line - 1]
            assert not line.startswith(("/*", "#", "--")), mutation


def test_a_seed_draws_the_same_sample_again():
    files = product_files(["shared/base"])
    assert sample(files, 7) == sample(files, 7) != sample(files, 8)


def test_only_named_files_are_drawn_from():
    assert product_files(["shared/base/text.c"]) == ["shared/base/text.c"]
    assert {name.split("/")[1] for name in product_files(["shared/json"])} == {"json"}


def test_what_is_listed_as_equivalent_can_be_drawn_but_for_that():
    for key in equivalents():
        path = key.split(" | ")[0]
        source = (ROOT / path).read_text()
        assert key in {each.key(source) for each in mutations(path, source)}
