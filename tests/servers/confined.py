"""confined.py UNIT PROGRAM [ARGUMENT…]: runs a program under the system-call filter, the ban on memory
that is writable and executable, and the address families of a systemd unit, without systemd.

systemd.exec(5) says what the settings mean; the sets are those of the installed systemd."""
import ctypes
import errno
import os
import resource
import subprocess
import sys

import seccomp

PR_SET_NO_NEW_PRIVS = 38
PROT_WRITE = 2
PROT_EXEC = 4
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}


def settings(unit):
    found = {}
    for line in open(unit, encoding="utf-8"):
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def sets():
    """{"@basic-io": {"read", "@other", …}}"""
    text = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], check=True,
                          capture_output=True, text=True).stdout
    found = {}
    for line in text.splitlines():
        word = line.strip()
        if line.startswith("@"):
            current = found.setdefault(word, set())
        elif word and not word.startswith("#"):
            current.add(word)
    return found


def expand(names, groups):
    calls = set()
    for name in names:
        calls |= expand(groups[name], groups) if name.startswith("@") else {name}
    return calls


def confine(unit):
    told, groups, allowed = settings(unit), sets(), set()
    for value in told["SystemCallFilter"]:
        calls = expand(value.lstrip("~").split(), groups)
        allowed = allowed - calls if value.startswith("~") else allowed | calls
    assert told["MemoryDenyWriteExecute"] == ["yes"] and told["SystemCallErrorNumber"] == ["EPERM"]
    filters = seccomp.SyscallFilter(defaction=seccomp.ERRNO(errno.EPERM))
    families = [FAMILIES[name] for name in told["RestrictAddressFamilies"][0].split()]
    for call in sorted(allowed - {"mmap", "mprotect", "pkey_mprotect", "socket"}):
        try:
            filters.add_rule(seccomp.ALLOW, call)
        except (RuntimeError, OSError):
            continue  # not a call of this machine
    for family in families:
        filters.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, family))
    filters.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, PROT_EXEC, 0))
    filters.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, PROT_WRITE | PROT_EXEC,
                                                        PROT_EXEC))
    filters.add_rule(seccomp.ALLOW, "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, PROT_EXEC, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    filters.load()


if __name__ == "__main__":
    confine(sys.argv[1])
    os.execv(sys.argv[2], sys.argv[2:])
