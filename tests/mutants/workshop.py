"""Copies of the project in which mutants are built and tested; the checkout is never touched.

The library becomes a shared one here, so that a mutant costs one compilation and one link. Which
test runs which line is measured once per state of the sources (gcov); a mutant is shown only to the
tests that run its line, the cheapest first. Tests mostly wait, so several mutants are tested at a
time, each in a workshop of its own.
"""
import collections
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

ROOT = pathlib.Path(os.environ.get("QUINTET_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
WORK = ROOT / "build-mutants"
PYTHON = "/usr/bin/python3"
JOBS = str(os.cpu_count() or 2)
SOURCES = ("shared", "fcgi-apps", "cli", "sql")
# What runs the programs as a whole; sdk and the web servers' own configurations are left out.
SUITES = ("tests/api/test_*.py", "tests/servers/test_fastcgi_abuse.py", "tests/servers/test_cgi.py",
          "tests/servers/test_start.py")
UNIT_SECONDS = 120
SUITE_SECONDS = 600
BUDGET_SECONDS = 150  # of tests for one mutant


def listed_files():
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.splitlines()
    return [name for name in names if (ROOT / name).is_file()]


def fingerprint():
    digest = hashlib.sha256()
    for name in sorted(listed_files()):
        if name.startswith((*SOURCES, "tests", "script", "configure.ac", "Makefile.am")):
            digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()


class Workshop:
    """The first one measures; the others copy what it has built."""

    def __init__(self, number=0):
        self.work = WORK / str(number)
        self.source = self.work / "source"
        self.build = self.work / "build"
        self.measured = WORK / "measured"
        self.tests = {}      # name → seconds
        self.covers = {}     # file → {line: [test]}
        self.link = []
        self.test = None     # the process of the one that runs

    # --- building -----------------------------------------------------------------------------
    def _run(self, command, folder, **options):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              **options)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout

    def _configure(self, build, flags):
        build.mkdir()
        source = os.path.relpath(self.source, build)
        self._run([f"{source}/configure", "--quiet", f"CFLAGS={flags}"], build)

    def prepare(self):
        """Copies, builds and measures, unless that is done for these very sources."""
        state = WORK / "state"
        wanted = fingerprint()
        if not state.exists() or state.read_text() != wanted:
            shutil.rmtree(WORK, ignore_errors=True)
            for name in listed_files():
                target = self.source / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
            data = ROOT / "tests/data/node_modules"
            if data.exists():
                (self.source / "tests/data/node_modules").symlink_to(data)
            self._run(["autoreconf", "-i"], self.source)
            self._configure(self.measured, "-O0 -g --coverage")
            self._run(["make", f"-j{JOBS}", "all", "unit-tests"], self.measured)
            self._configure(self.build, "-O0 -g0 -fPIC")
            self._run(["make", f"-j{JOBS}", "libquintet.a"], self.build)
            self._measure()
            self._finish()
            self._leave_out_unfit()
            state.write_text(wanted)
        self._restore()
        self._finish()

    def copy(self, other):
        """Becomes as `other` is, which has been prepared."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(other.work, self.work, symlinks=True)
        for name in other.programs():
            (self.build / name).unlink(missing_ok=True)
        self._finish()

    def _restore(self):
        """A run that was ended may have left a mutant behind."""
        for name in listed_files():
            if name.startswith(SOURCES) and (ROOT / name).read_bytes() != (self.source / name).read_bytes():
                (self.source / name).write_bytes((ROOT / name).read_bytes())
        self._run(["make", f"-j{JOBS}", "libquintet.a"], self.build)

    def programs(self):
        return self._run(["make", "-s", "--eval", "print-programs: ; @echo $(PROGRAMS)", "print-programs"],
                         self.build).split() + self.unit_programs

    def _finish(self):
        measured = json.loads((WORK / "measured.json").read_text())
        self.tests, self.covers = measured["tests"], measured["covers"]
        variables = self._run(["make", "-s", "--eval", "print-link: ; @echo $(DEPENDENCIES_LIBS) $(CMOCKA_LIBS)",
                               "print-link"], self.build).split()
        self.link = [f"-L{self.build}", "-lquintet", f"-Wl,-rpath,{self.build}", *variables]
        self.library_objects = self._run(["ar", "t", "libquintet.a"], self.build).split()
        self.objects = [str(path) for path in sorted(self.build.glob("**/*.o"))
                        if path.parts[len(self.build.parts)] in ("shared", "generated")]
        self.unit_programs = self._run(["make", "-s", "print-unit-tests"], self.build).split()
        self.make_library()
        self.make_programs()

    def make_library(self):
        # What a program leaves out of an archive must not need what only that program has.
        self._run(["gcc", "-shared", "-o", "libquintet.so.new", *self.objects, *self.link[3:]], self.build)
        (self.build / "libquintet.so.new").replace(self.build / "libquintet.so")

    def make_programs(self):
        self._run(["make", f"-j{JOBS}", "-o", "libquintet.a", f"LDADD={' '.join(self.link)}", "all",
                   *self.unit_programs], self.build)

    def make_mutant(self, path):
        """False when it does not compile."""
        try:
            if path.endswith(".sql"):
                self._run(["make", "generated/sql_sqlite.o"], self.build)
                self.make_library()
            elif path.startswith("shared/"):
                self._run(["make", path[:-2] + ".o"], self.build)
                self.make_library()
            else:
                self.make_programs()
        except RuntimeError:
            return False
        return True

    # --- which test runs which line -----------------------------------------------------------
    def _measure(self):
        covers = collections.defaultdict(lambda: collections.defaultdict(list))
        tests = {}
        units = self._run(["make", "-s", "print-unit-tests"], self.measured).split()
        suites = sorted(str(path.relative_to(self.source)) for pattern in SUITES
                        for path in self.source.glob(pattern))
        for name in [*units, *suites]:
            for data in self.measured.glob("**/*.gcda"):
                data.unlink()
            started = time.monotonic()
            passed = self._passes(name, self.measured, SUITE_SECONDS)
            tests[name] = round(time.monotonic() - started, 1)
            if not passed:
                print(f"fails without a mutant, left out: {name}", flush=True)
                continue
            for path, lines in self._lines():
                for line, count in lines:
                    known = covers[path][str(line)]
                    if count > 0:
                        known.append(name)
        (WORK / "measured.json").write_text(json.dumps({"tests": tests, "covers": covers}))

    def _leave_out_unfit(self):
        """Leaves out unit tests that fail without a mutant, as some do with a shared library: they notice nothing."""
        unfit = {name for name in self.unit_programs if not self._passes(name, self.build, UNIT_SECONDS)}
        for name in sorted(unfit):
            print(f"fails without a mutant, left out: {name}", flush=True)
        covers = {path: {line: [name for name in names if name not in unfit] for line, names in lines.items()}
                  for path, lines in self.covers.items()}
        (WORK / "measured.json").write_text(json.dumps({"tests": self.tests, "covers": covers}))

    def _lines(self):
        data = [str(path) for path in self.measured.glob("**/*.gcda")]
        if not data:
            return
        done = subprocess.run(["gcov", "--json-format", "--stdout", *data], cwd=self.measured,
                              capture_output=True, text=True, check=False)
        for document in done.stdout.splitlines():
            for entry in json.loads(document)["files"]:
                path = os.path.normpath(self.measured / entry["file"])
                if path.startswith(str(self.source)):
                    name = os.path.relpath(path, self.source)
                    if name.startswith(SOURCES):
                        yield name, [(line["line_number"], line["count"]) for line in entry["lines"]]

    def _passes(self, name, build, seconds):
        environment = {**os.environ, "QUINTET_SOURCE_DIR": str(self.source), "QUINTET_BUILD_DIR": str(build),
                       "PYTHONDONTWRITEBYTECODE": "1", "CMOCKA_MESSAGE_OUTPUT": "TAP"}
        if name.endswith(".py"):
            command, folder = [PYTHON, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", name], self.source
        else:
            command, folder = [f"./{name}"], build
        self.test = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            return self.test.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            self.end_test()
            self.test.wait()
            self.test = None

    def end_test(self):
        """Also what a test of a mutant has left behind: it is all in one session of ours."""
        test = self.test
        if test is not None:
            try:
                os.killpg(test.pid, 9)
            except ProcessLookupError:
                pass

    # --- showing a mutant to the tests --------------------------------------------------------
    def tests_of(self, mutation, source):
        """Names of the tests that run the mutation's line, the cheapest first."""
        if mutation.path.endswith(".sql"):
            before = source[:mutation.start]
            names = re.findall(r"^-- name: (\w+)", before, re.M)
            found = self._users_of_statement(names[-1]) if names else set()
        else:
            lines = self.covers.get(mutation.path, {})
            nearest = next((str(line) for line in range(mutation.line, mutation.line - 8, -1)
                            if str(line) in lines), None)
            if nearest is not None and nearest == str(mutation.line) or self._in_function(lines, mutation.line):
                found = set(lines[nearest]) if nearest else set()
            else:
                found = {test for tests in lines.values() for test in tests}
        return sorted(found, key=lambda name: (name.endswith(".py"), self.tests[name]))

    @staticmethod
    def _in_function(lines, line):
        """Between two lines that gcov knows and that are close: inside a statement, not in a table."""
        return any(str(number) in lines for number in range(line - 6, line)) and \
            any(str(number) in lines for number in range(line + 1, line + 6))

    def _users_of_statement(self, name):
        found = set()
        for path, lines in self.covers.items():
            text = (self.source / path).read_text().splitlines()
            for number, line in enumerate(text, 1):
                if f'"{name}"' in line:
                    near = next((str(at) for at in range(number, max(0, number - 8), -1) if str(at) in lines), None)
                    found.update(lines[near] if near else [])
        return found

    def noticed_by(self, tests):
        """The first test that fails, or None; and whether all could be run within the budget."""
        spent = 0.0
        for name in tests:
            if spent > BUDGET_SECONDS:
                return None, False
            started = time.monotonic()
            if not self._passes(name, self.build, min(self.tests[name] * 4 + 20, SUITE_SECONDS)):
                return name, True
            spent += time.monotonic() - started
        return None, True
