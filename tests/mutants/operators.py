"""Where a small mistake could be made in a file, and what the file would be with it.

No tool of Debian 12 serves: mull and dextool are not packaged, and neither looks at SQL. The usual
mutation operators on a line of code are a table of patterns; what a pattern gets wrong does not
compile and is not counted.
"""
import dataclasses
import re

COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
STATIC_ASSERT = re.compile(r"_Static_assert\([^;]*;", re.S)


@dataclasses.dataclass(frozen=True)
class Mutation:
    path: str
    start: int
    end: int
    text: str
    operator: str
    line: int

    def apply(self, source):
        return source[:self.start] + self.text + source[self.end:]

    def describe(self, source):
        lines = self.apply(source).splitlines()
        before = source.splitlines()[self.line - 1].strip()
        after = lines[self.line - 1].strip() if self.line <= len(lines) else ""
        return f"{self.path}:{self.line}: {self.operator}\n    - {before}\n    + {after}"

    def key(self, source):
        """Names a mutation in a way that survives edits elsewhere in the file."""
        before = source.splitlines()[self.line - 1].strip()
        return f"{self.path} | {self.operator} | {before}"


def _next_number(match):
    return str(int(match[0]) + 1)


# operator, pattern, replacement (text or function of the match). Code only: no comments, no texts.
CODE = [
    ("boundary", r"(?<=[\w)\]] )<(?= [\w(*&!-])", "<="),
    ("boundary", r"(?<=[\w)\]] )<=(?= [\w(*&!-])", "<"),
    ("boundary", r"(?<=[\w)\]] )>(?= [\w(*&!-])", ">="),
    ("boundary", r"(?<=[\w)\]] )>=(?= [\w(*&!-])", ">"),
    ("comparison", r"(?<= )==(?= )", "!="),
    ("comparison", r"(?<= )!=(?= )", "=="),
    ("comparison", r"(?<=[\w)\]] )<(?= [\w(*&!-])", ">="),
    ("comparison", r"(?<=[\w)\]] )>(?= [\w(*&!-])", "<="),
    ("connective", r"&&", "||"),
    ("connective", r"\|\|", "&&"),
    ("arithmetic", r"(?<=[\w)\]] )\+(?= [\w(*&])", "-"),
    ("arithmetic", r"(?<=[\w)\]] )-(?= [\w(*&])", "+"),
    ("arithmetic", r"(?<=[\w)\]] )/(?= [\w(])", "*"),
    ("arithmetic", r"(?<=[\w)\]] )%(?= [\w(])", "+"),
    ("arithmetic", r"(?<= )\+=(?= )", "-="),
    ("arithmetic", r"(?<= )-=(?= )", "+="),
    ("step", r"(?<=\w)\+\+", "--"),
    ("constant", r"(?<![\w.\"])\d+(?![\w.])", _next_number),
    ("condition", r"\bif \((?=[^\n]*\) \{\n)", "if (!("),
    ("truth", r"\btrue\b", "false"),
    ("truth", r"\bfalse\b", "true"),
    ("negation", r"(?<=[(\s])!(?=[\w(])", ""),
    ("removed call", r"(?<=\n)[ ]+(?:\(void\))?[a-z]\w+\([^;{}]*\);(?=\n)", ""),
    ("removed assignment", r"(?<=\n)[ ]+[a-z][\w.>\-\[\]]*(?:->|\.)\w+ [|&+-]?= [^;{}]*;(?=\n)", ""),
    ("removed break", r"(?<=\n)[ ]+(?:break|continue);(?=\n)", ""),
    ("another status", r"\breturn status;", "return STATUS_OK;"),
    ("swapped arguments", r"(?<=\()(\w+), (\w+)(?=\))", r"\2, \1"),
]
TEXT = re.compile(r'"(\w{3,})"')

SQL = [
    ("boundary", r"(?<= )<(?= )", "<="),
    ("boundary", r"(?<= )<=(?= )", "<"),
    ("boundary", r"(?<= )>(?= )", ">="),
    ("boundary", r"(?<= )>=(?= )", ">"),
    ("comparison", r"(?<=[\w)] )=(?= [?:\w(])", "<>"),
    ("comparison", r"(?<= )<>(?= )", "="),
    ("dropped condition", r"\bAND [\w.]+ (?:=|<|>|<=|>=|<>|IS) (?:\?\d+|NULL|NOT NULL|[\w.]+)", ""),
    ("connective", r"\bAND\b", "OR"),
    ("connective", r"\bOR\b(?! (?:IGNORE|REPLACE|ABORT))", "AND"),
    ("order", r"\bDESC\b", "ASC"),
    ("null", r"\bIS NULL\b", "IS NOT NULL"),
    ("null", r"\bIS NOT NULL\b", "IS NULL"),
    ("arithmetic", r"(?<=[\w)] )\+(?= [\w(?])", "-"),
    ("arithmetic", r"(?<=[\w)] )-(?= [\w(?])", "+"),
    ("constant", r"(?<![\w.?])\d+(?![\w.])", _next_number),
]


def _blank(text, *patterns):
    """The text with what the patterns match made blank, so that places stay."""
    for pattern in patterns:
        text = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return text


def _found(path, source, code, table):
    for operator, pattern, replacement in table:
        for match in re.finditer(pattern, code):
            text = replacement(match) if callable(replacement) else match.expand(replacement)
            end = match.end()
            if operator == "condition":
                closing = code.index("\n", end)
                brace = code.rindex(") {", end, closing)
                text = "if (!(" + source[end:brace] + ")"
                end = brace
            line = source.count("\n", 0, match.start()) + 1
            yield Mutation(path, match.start(), end, text, operator, line)


def mutations(path, source):
    """Every mutation of one file, in the order of its operators and lines."""
    if path.endswith(".sql"):
        code = _blank(source, re.compile(r"--[^\n]*"), re.compile(r"'[^'\n]*'"))
        return list(_found(path, source, code, SQL))
    code = _blank(source, COMMENT_OR_TEXT, DIRECTIVE, STATIC_ASSERT)
    found = list(_found(path, source, code, CODE))
    texts = _blank(source, re.compile(r"/\*.*?\*/|//[^\n]*", re.S), DIRECTIVE)
    for match in TEXT.finditer(texts):
        line = source.count("\n", 0, match.start()) + 1
        found.append(Mutation(path, match.start(), match.end(), '"mutant"', "another word", line))
    return found
