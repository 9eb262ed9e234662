"""script/test mutants [N] [FILE…]: how many small mistakes do the tests notice?

Draws N (100) mutations of the named files, or of the whole product, makes each in a copy of the
project, and runs the tests that run its line. SEED chooses another sample (1). Survivors are
printed; those that change nothing that anybody could see are listed with their reason in
equivalent.txt and not drawn again. WORKSHOPS says how many are tested at a time (one for each
processor). The last line is `N passed, N failed`: noticed and not.
"""
import collections
import os
import pathlib
import random
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from operators import mutations  # noqa: E402
from workshop import JOBS, ROOT, SOURCES, Workshop, listed_files  # noqa: E402

DEFAULT_COUNT = 100
EQUIVALENT = pathlib.Path(__file__).resolve().parent / "equivalent.txt"


def product_files(wanted):
    names = [name for name in listed_files()
             if name.startswith(tuple(f"{folder}/" for folder in SOURCES))
             and (name.endswith(".c") or "/queries/" in name)]
    if not wanted:
        return names
    return [name for name in names if any(name == each or name.startswith(each.rstrip("/") + "/") for each in wanted)]


def folder_of(path):
    parts = path.split("/")
    return "sql" if parts[0] == "sql" else "/".join(parts[:2]) if parts[0] != "cli" else "cli"


def equivalents():
    lines = EQUIVALENT.read_text().splitlines() if EQUIVALENT.exists() else []
    # The line of code may have an "or" of its own; the reason has none.
    return {line.rsplit(" || ", 1)[0] for line in lines if line and not line.startswith("#")}


def sample(files, seed):
    """All mutations in a random order in which every folder, file and operator comes early."""
    random_source = random.Random(seed)
    known = equivalents()
    by_place = collections.defaultdict(list)
    for path in files:
        source = (ROOT / path).read_text()
        for mutation in mutations(path, source):
            if mutation.key(source) not in known:
                by_place[path, mutation.operator].append(mutation)
    everything = []
    for found in by_place.values():
        random_source.shuffle(found)
        # The n-th of a place gets the n-th turn, so that long tables of words do not fill the sample.
        everything += [(turn + random_source.random(), mutation) for turn, mutation in enumerate(found)]
    return [mutation for _, mutation in sorted(everything, key=lambda pair: pair[0])]


def judge(workshop, mutation):
    """A word and the test that noticed: noticed, survived, untested (no test runs the line), invalid."""
    target = workshop.source / mutation.path
    source = target.read_text()
    tests = workshop.tests_of(mutation, source)
    if not tests:
        return "untested", None
    try:
        target.write_text(mutation.apply(source))
        if not workshop.make_mutant(mutation.path):
            return "invalid", None
        test, _ = workshop.noticed_by(tests)
        return ("noticed", test) if test else ("survived", None)
    finally:
        target.write_text(source)
        workshop.make_mutant(mutation.path)


class Tally:
    """What has been found of a sample, by as many workshops as there are."""

    def __init__(self, mutations, count):
        self.mutations = iter(mutations)
        self.count = count
        self.begun = 0
        self.done = 0
        self.by_folder = collections.defaultdict(collections.Counter)
        self.fault = None  # what ended a workshop
        self.lock = threading.Lock()

    def next(self):
        with self.lock:
            if self.begun == self.count:
                return None
            self.begun += 1
            return next(self.mutations, None)

    def tell(self, workshop, mutation, word, test, seconds):
        with self.lock:
            if word == "invalid":
                self.begun -= 1
                return
            self.done += 1
            self.by_folder[folder_of(mutation.path)][word == "noticed"] += 1
            if word == "noticed":
                print(f"ok {self.done} {mutation.path}:{mutation.line} {mutation.operator}: {test} "
                      f"({seconds:.0f} s)", flush=True)
            else:
                source = (workshop.source / mutation.path).read_text()
                print(f"not ok {self.done} {word}: {mutation.describe(source)}\n    key: {mutation.key(source)}",
                      flush=True)

    def write(self):
        for folder, each in sorted(self.by_folder.items()):
            print(f"{folder:24} {each[True]:4} of {each.total():4}  {100 * each[True] / each.total():3.0f} %")
        passed = sum(each[True] for each in self.by_folder.values())
        print(f"{passed} passed, {self.done - passed} failed")
        return 0 < self.done == passed


def work_on(workshop, tally):
    try:
        while (mutation := tally.next()) is not None:
            started = time.monotonic()
            word, test = judge(workshop, mutation)
            tally.tell(workshop, mutation, word, test, time.monotonic() - started)
    except Exception as fault:  # told by main, when the others have ended
        tally.fault = fault


def main(arguments):
    # Ended from outside, it still says what it has found and leaves no test behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    count = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else DEFAULT_COUNT
    seed = int(os.environ.get("SEED", "1"))
    files = product_files(arguments)
    if not files:
        print("script/test mutants: no such file of the product", file=sys.stderr)
        return 64
    first = Workshop()
    first.prepare()
    workshops = [first] + [Workshop(number) for number in range(1, int(os.environ.get("WORKSHOPS", JOBS)))]
    for workshop in workshops[1:]:
        workshop.copy(first)
    tally = Tally(sample(files, seed), count)
    threads = [threading.Thread(target=work_on, args=(each, tally), daemon=True) for each in workshops]
    print(f"seed {seed}", flush=True)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for workshop in workshops:
            workshop.end_test()
        is_good = tally.write()
    if tally.fault is not None:
        raise tally.fault
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
