"""script/test mutants [N] [FILE…]: how many small mistakes do the tests notice?

Draws N (100) mutations of the named files, or of the whole product, makes each in a copy of the
project, and runs the tests that run its line. SEED chooses another sample (1). Survivors are
printed; those that change nothing that anybody could see are listed with their reason in
equivalent.txt and not drawn again. The last line is `N passed, N failed`: noticed and not.
"""
import collections
import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from operators import mutations  # noqa: E402
from workshop import ROOT, SOURCES, Workshop, listed_files  # noqa: E402

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
    return {line.split(" || ")[0] for line in lines if line and not line.startswith("#")}


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


def main(arguments):
    # Ended from outside, the copy is put right again on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    count = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else DEFAULT_COUNT
    seed = int(os.environ.get("SEED", "1"))
    files = product_files(arguments)
    if not files:
        print("script/test mutants: no such file of the product", file=sys.stderr)
        return 64
    workshop = Workshop()
    workshop.prepare()
    tally = collections.defaultdict(collections.Counter)
    done = 0
    for mutation in sample(files, seed):
        if done == count:
            break
        started = time.monotonic()
        word, test = judge(workshop, mutation)
        if word == "invalid":
            continue
        done += 1
        good = word == "noticed"
        tally[folder_of(mutation.path)][good] += 1
        if good:
            print(f"ok {done} {mutation.path}:{mutation.line} {mutation.operator}: {test} "
                  f"({time.monotonic() - started:.0f} s)", flush=True)
        else:
            source = (workshop.source / mutation.path).read_text()
            print(f"not ok {done} {word}: {mutation.describe(source)}\n    key: {mutation.key(source)}", flush=True)
    for folder, each in sorted(tally.items()):
        print(f"{folder:24} {each[True]:4} of {each.total():4}  {100 * each[True] / each.total():3.0f} %")
    passed = sum(each[True] for each in tally.values())
    print(f"seed {seed}")
    print(f"{passed} passed, {done - passed} failed")
    return 0 if done == passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
