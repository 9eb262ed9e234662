"""Tools of script/bench: load by wrk, processes in a temporary directory, memory by /proc."""
import contextlib
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "api"))

from suite import BUILD, Suite, free_port  # noqa: E402

SECONDS = int(os.environ.get("BENCH_SECONDS", "3"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Load:
    """What one run of wrk saw. Latencies in seconds."""

    def __init__(self, text):
        self.rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
        self.p50 = self.quantile(text, "50")
        self.p99 = self.quantile(text, "99")
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        self.failures = (int(refused.group(1)) if refused else 0) + \
            (sum(map(int, broken.groups())) if broken else 0)

    @staticmethod
    def quantile(text, percent):
        value, unit = re.search(rf"\b{percent}%\s+([\d.]+)(us|ms|s|m)", text).groups()
        return float(value) * UNITS[unit]


def wrk(url, connections=32, headers=(), body_file=None, seconds=None):
    command = ["wrk", "-t2" if connections > 1 else "-t1", f"-c{connections}", f"-d{seconds or SECONDS}s",
               "--latency", "--timeout", "10s"]
    environment = dict(os.environ)
    if body_file:
        command += ["-s", str(ROOT / "bench" / "post.lua")]
        environment.update(BODY_FILE=str(body_file), HEADERS="\n".join(headers))
    else:
        for header in headers:
            command += ["-H", header]
    return Load(subprocess.run(command + [url], capture_output=True, text=True, check=True,
                               env=environment).stdout)


def side_by_side(first, second):
    """Runs two loads in turns; the medians of rate, p50 and p99 of each, and all failures."""
    runs = ([], [])
    for _ in range(ROUNDS):
        runs[0].append(first())
        runs[1].append(second())

    def middle(loads):
        result = loads[0]
        result.rate = statistics.median(load.rate for load in loads)
        result.p50 = statistics.median(load.p50 for load in loads)
        result.p99 = statistics.median(load.p99 for load in loads)
        result.failures = sum(load.failures for load in loads)
        return result

    return middle(runs[0]), middle(runs[1])


class Workshop(contextlib.ExitStack):
    """A temporary directory and the processes started in it; all end with it."""

    def __enter__(self):
        super().__enter__()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="quintet-bench-"))
        self.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.directory.chmod(0o755)
        return self

    def start(self, command, **options):
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, **options)

        def end():
            process.terminate()
            try:
                process.wait(35)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        self.callback(end)
        return process

    def suite(self, **environment):
        started = Suite(environment).start_process()
        self.callback(started.stop)
        return started

    def lighttpd(self, routes):
        """A lighttpd in front of FastCGI sockets: {path prefix: (program, arguments)}."""
        port = free_port()
        blocks = ""
        for number, (prefix, command) in enumerate(routes.items()):
            script = self.directory / f"program{number}-{port}"
            script.write_text("#!/bin/sh\nexec " + " ".join(map(str, command)) + "\n")
            script.chmod(0o755)
            blocks += (f'$HTTP["url"] =~ "^{prefix}" {{ fastcgi.server = ("" => (("bin-path" => "{script}", '
                       f'"socket" => "{self.directory}/{number}-{port}.sock", "max-procs" => 1, '
                       '"check-local" => "disable"))) }\n')
        configuration = self.directory / f"lighttpd-{port}.conf"
        configuration.write_text(f"""server.modules = ("mod_fastcgi")
server.port = {port}
server.bind = "127.0.0.1"
server.document-root = "{self.directory}"
server.errorlog = "/dev/null"
server.max-fds = 8192
server.listen-backlog = 1024
{blocks}""")
        self.start(["lighttpd", "-D", "-f", configuration])
        wait_for_port(port)
        return port

    def nginx(self, locations):
        """nginx in front of sockets: {location: (socket path, keep connections)}."""
        port = free_port()
        upstreams, blocks = "", ""
        for number, (location, (path, keep)) in enumerate(locations.items()):
            kept = "keepalive 64;" if keep else ""
            upstreams += f"upstream u{number} {{ server unix:{path}; {kept} }}\n"
            blocks += (f"location {location} {{ include /etc/nginx/fastcgi_params; fastcgi_pass u{number};"
                       f" fastcgi_keep_conn {'on' if keep else 'off'}; }}\n")
        configuration = self.directory / f"nginx-{port}.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        configuration.write_text(f"""daemon off; pid {self.directory}/nginx-{port}.pid; worker_processes 1;
error_log {self.directory}/nginx-{port}.log; {user}
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {self.directory}/b; fastcgi_temp_path {self.directory}/f;
proxy_temp_path {self.directory}/p; scgi_temp_path {self.directory}/s; uwsgi_temp_path {self.directory}/u;
{upstreams} server {{ listen 127.0.0.1:{port} backlog=1024; {blocks} }} }}""")
        self.start(["nginx", "-c", configuration])
        wait_for_port(port)
        return port


def wait_for_port(port, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


def wait_for_path(path, seconds=20):
    deadline = time.monotonic() + seconds
    while not pathlib.Path(path).exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{path} did not appear")
        time.sleep(0.02)


def memory_kilobytes(pid, field):
    """`Pss` or `Rss` of a process."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


def run_cgi(program, environment):
    """Runs a program once as plain CGI: elapsed seconds with fork and exec, and its own processor seconds."""
    began = time.perf_counter()
    run = subprocess.Popen([program], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    said = run.stdout.read()
    run.stdout.close()
    _, status, used = os.wait4(run.pid, 0)
    elapsed = time.perf_counter() - began
    run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0 and said.startswith(b"Status: 200"), said
    return elapsed, used.ru_utime + used.ru_stime


def open_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def children(pid):
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


__all__ = [name for name in dir() if not name.startswith("_")]
