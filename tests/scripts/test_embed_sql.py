"""script/embed-sql: SQL files become C tables, and faulty ones never get into a program."""
import ctypes

import pytest

from conftest import SOURCE

HEADER = SOURCE / "shared"


@pytest.fixture
def sql(tree):
    tree.copy("script/embed-sql")
    (tree.root / "sql" / "queries").mkdir(parents=True)
    return tree


def embed(tree):
    return tree.run("script/embed-sql", "sqlite", "sql")


class Statement(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("subject", ctypes.c_char_p), ("text", ctypes.c_char_p)]


class Migration(ctypes.Structure):
    _fields_ = [("version", ctypes.c_int), ("name", ctypes.c_char_p), ("up", ctypes.c_char_p),
                ("down", ctypes.c_char_p)]


class Dialect(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("statements", ctypes.POINTER(Statement)),
                ("statement_count", ctypes.c_size_t), ("migrations", ctypes.POINTER(Migration)),
                ("migration_count", ctypes.c_size_t)]


def compiled(tree):
    """The tables as a compiler with all warnings on has understood them."""
    result = embed(tree)
    assert result.returncode == 0, result.stderr
    tree.write("sql.c", result.stdout)
    built = tree.run("gcc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
                     f"-I{HEADER}", "-o", "sql.so", "sql.c")
    assert built.returncode == 0, built.stderr
    return Dialect.in_dll(ctypes.CDLL(str(tree.root / "sql.so")), "sql_sqlite")


def statements(dialect):
    return [(dialect.statements[i].name, dialect.statements[i].text)
            for i in range(dialect.statement_count)]


def test_statements_are_sorted_by_their_bytes(sql):
    sql.write("sql/queries/b.sql", "-- name: item_b\nSELECT 1;\n-- name: itema\nSELECT 2;\n")
    sql.write("sql/queries/a.sql", "-- name: item\nSELECT 3;\n")
    assert [name for name, _ in statements(compiled(sql))] == [b"item", b"item_b", b"itema"]


def test_a_statement_tells_which_file_it_is_from(sql):
    sql.write("sql/queries/things.sql", "-- name: thing\nSELECT 1;\n")
    sql.write("sql/queries/other_things.sql", "-- name: other\nSELECT 2;\n")
    dialect = compiled(sql)
    assert [(dialect.statements[i].name, dialect.statements[i].subject) for i in range(2)] == [
        (b"other", b"other_things"), (b"thing", b"things")]


def test_comment_lines_blank_lines_and_the_semicolon_are_left_out(sql):
    sql.write("sql/queries/a.sql", "-- About things.\n\n-- name: thing\nSELECT a -- why\n\n"
              "  -- what\nFROM t\n;\n\n-- About the next.\n-- name: next\nSELECT 1;\n")
    assert statements(compiled(sql)) == [(b"next", b"SELECT 1\n"),
                                         (b"thing", b"SELECT a -- why\nFROM t\n")]


def test_quotes_backslashes_trigraphs_and_utf8_arrive_unchanged(sql):
    text = "SELECT \"a\\n\", 'it''s', '??=', '???/', '%s', 'é😀'\n\tFROM t\n"
    sql.write("sql/queries/a.sql", "-- name: odd\n" + text)
    assert statements(compiled(sql)) == [(b"odd", text.encode())]


def test_migrations_are_kept_byte_for_byte(sql):
    up = "-- why\nCREATE TABLE t (\"a\\b\" TEXT DEFAULT '??');\n\nCREATE TABLE u (a);\n"
    sql.write("sql/0001_first.up.sql", up)
    sql.write("sql/0001_first.down.sql", "DROP TABLE u;\nDROP TABLE t;\n")
    sql.write("sql/0002_second.up.sql", "CREATE TABLE v (a);\n")
    sql.write("sql/0002_second.down.sql", "DROP TABLE v;\n")
    dialect = compiled(sql)
    assert dialect.migration_count == 2
    first, second = dialect.migrations[0], dialect.migrations[1]
    assert (first.version, first.name, first.up) == (1, b"first", up.encode())
    assert first.down == b"DROP TABLE u;\nDROP TABLE t;\n"
    assert (second.version, second.name) == (2, b"second")


def test_no_sql_at_all_is_two_empty_tables(sql):
    dialect = compiled(sql)
    assert (dialect.name, dialect.statement_count, dialect.migration_count) == (b"sqlite", 0, 0)


@pytest.mark.parametrize("files, complaint", [
    ({"queries/a.sql": "-- name: x\nSELECT 1;\n-- name: x\nSELECT 2;\n"},
     "a.sql:3: statement x exists already at sql/queries/a.sql:1"),
    ({"queries/a.sql": "-- name: x\nSELECT 1;\n", "queries/b.sql": "-- name: x\nSELECT 2;\n"},
     "b.sql:1: statement x exists already"),
    ({"queries/a.sql": "-- name: Upper\nSELECT 1;\n"}, "a.sql:1: expected"),
    ({"queries/a.sql": "-- name:x\nSELECT 1;\n"}, "a.sql:1: expected"),
    ({"queries/a.sql": "-- name: x y\nSELECT 1;\n"}, "a.sql:1: expected"),
    ({"queries/a.sql": "-- name: x\n-- name: y\nSELECT 1;\n"}, "statement x is empty"),
    ({"queries/a.sql": "-- name: x\n;\n"}, "statement x is empty"),
    ({"queries/a.sql": "SELECT 1;\n-- name: x\nSELECT 2;\n"}, "a.sql:1: SQL before the first"),
    ({"queries/a.sql": "-- name: x\nSELECT 1;\nDELETE FROM t;\n"}, "a.sql:3: statement x holds"),
    ({"queries/a.sql": "-- name: x\r\nSELECT 1;\r\n"}, "a.sql:1: carriage return"),
    ({"queries/a.sql": ""}, "a.sql: empty"),
    ({"queries/A.sql": "-- name: x\nSELECT 1;\n"}, "A.sql: name is neither"),
    ({"notes.sql": "SELECT 1;\n"}, "notes.sql: name is neither"),
    ({"1_short.up.sql": "x;\n"}, "1_short.up.sql: name is neither"),
    ({"0001_a.up.sql": "x;\n"}, "migration 1_a needs"),
    ({"0001_a.down.sql": "x;\n"}, "migration 1_a needs"),
    ({"0001_a.up.sql": "x;\n", "0001_a.down.sql": ""}, "0001_a.down.sql: empty"),
    ({"0001_a.up.sql": "x;\n", "0001_b.down.sql": "y;\n"}, "migration 1 is already named a"),
    ({"0002_a.up.sql": "x;\n", "0002_a.down.sql": "y;\n"}, "migration 1 is missing"),
])
def test_a_fault_names_its_place_and_fails(sql, files, complaint):
    for name, text in files.items():
        sql.write("sql/" + name, text)
    result = embed(sql)
    assert result.returncode == 1
    assert complaint in result.stderr


def test_a_missing_folder_fails(sql):
    assert sql.run("script/embed-sql", "sqlite", "nowhere").returncode == 1
