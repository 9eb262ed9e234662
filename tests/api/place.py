"""A directory to run the `quintet` command and the programs in, with a clean environment."""
import json
import os
import re
import signal
import socket
import subprocess

from suite import BUILD, sanitizer_environment, wait_until

QUINTET = BUILD / "cli" / "quintet"
GOOD_SECRET = "3f1c9a0b7d2e4f586a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b"

USAGE, UNAVAILABLE, CONFIG = 64, 69, 78
START_SECONDS = 30


def program(name):
    return BUILD / "fcgi-apps" / name / f"{name}.fcgi"


class Place:
    def __init__(self, path):
        self.path = path
        self.environment = {"PATH": os.environ["PATH"], "LOG_FILE": str(path / "log"),
                            **sanitizer_environment()}

    def run(self, *arguments, stdin="", **environment):
        return subprocess.run([str(QUINTET), *arguments], cwd=self.path, text=True, input=stdin,
                              env={**self.environment, **environment}, capture_output=True, timeout=60)

    def ok(self, *arguments, **options):
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done
        return done.stdout

    def json(self, *arguments, **options):
        return json.loads(self.ok(*arguments, "--json", **options))

    def start(self, *arguments):
        return subprocess.Popen([str(QUINTET), *arguments], cwd=self.path, env=self.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_program(self, name, *arguments, **environment):
        """A program that ends by itself: as CGI, or because it refuses to start."""
        return subprocess.run([str(program(name)), *arguments], cwd=self.path, capture_output=True, text=True,
                              env={**self.environment, **environment}, stdin=subprocess.DEVNULL, timeout=60)

    def serve(self, name, **environment):
        return Served(self, name, environment)

    def log_lines(self):
        log = self.path / "log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def wait_for_log(self, message):
        wait_until(lambda: any(line["message"] == message for line in self.log_lines()), START_SECONDS,
                   trouble=self.log_lines)


class Served:
    """A program that serves FastCGI on a socket of its own, until the block ends."""

    def __init__(self, place, name, environment):
        self.place = place
        self.socket = place.path / f"{name}.sock"
        self.command = [str(program(name)), "--listen", str(self.socket)]
        self.environment = {**place.environment, **environment}
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, cwd=self.place.path, env=self.environment, text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until(lambda: self.answers() or self.process.poll() is not None, START_SECONDS)
        assert self.process.poll() is None, self.process.communicate()
        return self

    def answers(self):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise


def fields(text):
    """`name  value` lines as a dictionary."""
    return dict(re.split(r"  +", line, maxsplit=1) for line in text.splitlines())
