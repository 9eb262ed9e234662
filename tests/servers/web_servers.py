"""Web servers for the tests of this folder, each with the five programs behind it, on free ports
and in directories of their own. The configurations are those of the folders lighttpd, nginx and
apache, with other paths and ports and nothing else changed."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from suite import (BUILD, JWT_SECRET, ROOT, SANITIZER_OPTIONS, START_SECONDS, Suite,
                   sanitizer_environment, wait_until)

NAMES = ("health", "auth", "chat", "charts", "metrics")


def program(name):
    return BUILD / "fcgi-apps" / name / f"{name}.fcgi"


def base_environment(state, **more):
    """What a program needs to run from `state` and nothing else."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(state),
        "STATE_DIR": str(state),
        "RUNTIME_DIR": str(state / "run"),
        "LOG_FILE": str(state / "log" / "quintet.log"),
        "QUINTET_CONFIG": "/dev/null",
        "JWT_SECRET_KEY": JWT_SECRET,
        "RATE_LIMIT_ENABLED": "false",
        **sanitizer_environment(),
        **more,
    }


def tool(name):
    """A web server's program, also where only root's PATH has it; skips where there is none."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def stop(process, seconds=35):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def listens_on(path):
    """Whether somebody accepts connections on this Unix-domain socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


class Programs:
    """Programs on sockets that they made themselves (--listen)."""

    launcher = ()
    directory = None  # the one of the tests

    def __init__(self, state, names=NAMES, **environment):
        self.state = pathlib.Path(state)
        self.run = self.state / "run"
        self.run.mkdir(parents=True, exist_ok=True)
        (self.state / "log").mkdir(exist_ok=True)
        self.environment = base_environment(self.state, **environment)
        self.processes = {}
        for name in names:
            self.start(name)

    def socket(self, name):
        return self.run / f"{name}.sock"

    def start(self, name):
        with (self.state / "log" / "programs.log").open("ab") as log:
            process = subprocess.Popen(
                [*self.launcher, str(program(name)), "--listen", str(self.socket(name))],
                cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes[name] = process
        wait_until(lambda: process.poll() is not None or listens_on(self.socket(name)), START_SECONDS)
        assert process.poll() is None, (self.state / "log" / "programs.log").read_text()

    def stop(self):
        """Exit statuses by name; the sanitizers make theirs differ from 0."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        return {name: stop(process) for name, process in self.processes.items()}


class Server(Suite):
    """A web server with a configuration made here. The tests talk to it as to a Suite."""

    command = ()

    def __init__(self, environment=None):
        super().__init__(environment)
        # A daemon that changes its user must still reach what is in here.
        self.state.chmod(0o755)
        (self.state / "run").mkdir()
        (self.state / "log").mkdir()

    def configure(self):
        """Writes the configuration; returns the command that runs the server in the foreground."""
        raise NotImplementedError

    def start_process(self):
        command = self.configure()
        with (self.state / "log" / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=base_environment(self.state, **self.environment),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(self.answers, START_SECONDS, 0.05)
        except AssertionError as error:
            self.stop()
            raise RuntimeError(f"{command[0]} did not start") from error
        return self

    def answers(self):
        assert self.process.poll() is None, self.logs()
        try:
            return self.get("/health", timeout=5).status == 200
        except OSError:
            return False

    def stop(self):
        if self.process:
            stop(self.process)
        shutil.rmtree(self.state, ignore_errors=True)


def place(folder, state, changes):
    """The web-server configuration `folder` of the project in a directory of its own, with other
    paths and ports and nothing else changed. Each text to change must be there."""
    target = state / folder
    shutil.copytree(ROOT / folder, target)
    missing = set(changes)
    for path in target.iterdir():
        text = path.read_text()
        for old, new in changes.items():
            if old in text:
                missing.discard(old)
                text = text.replace(old, new)
        path.write_text(text)
    assert not missing, f"not in {folder}/: {missing}"
    return target


class Nginx(Server):
    """nginx/nginx.conf in front of programs that run by themselves."""

    Programs = Programs
    programs = None

    def configure(self):
        self.programs = self.Programs(self.state, **self.environment)
        folder = place("nginx", self.state, {
            "/run/quintet": str(self.state / "run"),
            "/run/nginx.pid": str(self.state / "nginx.pid"),
            "/var/log/nginx": str(self.state / "log"),
            "127.0.0.1:8080": f"127.0.0.1:{self.port}",
            "127.0.0.1:9090": f"127.0.0.1:{self.metrics_port}",
            # nginx's user must be able to use these sockets, which are of the user of the tests.
            "user www-data;": "user root;" if os.geteuid() == 0 else "",
            "worker_processes auto;": "worker_processes 1; daemon off;",
            "server_tokens off;": " ".join(
                f"{kind}_temp_path {self.state}/{kind};" for kind in
                ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")) + " server_tokens off;",
        })
        return [tool("nginx"), "-p", str(self.state), "-e", str(self.state / "log" / "nginx.log"),
                "-c", str(folder / "nginx.conf")]

    def pids(self, name):
        process = self.programs.processes[name]
        return [process.pid] if process.poll() is None else []

    def stop(self):
        if self.programs:
            self.programs.stop()
        super().stop()


def copy_programs(folder):
    """Copies, because a server's user may not be allowed to look into the build directory."""
    folder.mkdir()
    for name in NAMES:
        shutil.copy(program(name), folder)
    return folder


def write_settings(folder, environment):
    """quintet.conf in the directory of the programs, where web servers start CGI programs."""
    lines = [f'{name}="{value}"\n' for name, value in environment.items()
             if name.isupper() and value and name not in
             ("PATH", "HOME", "QUINTET_CONFIG", *SANITIZER_OPTIONS)]
    (folder / "quintet.conf").write_text("".join(lines))


class Lighttpd(Server):
    """lighttpd/lighttpd.conf as it stands; script/server makes one of its own for Suite."""

    def configure(self):
        link = self.state / "programs"
        link.mkdir()
        for name in NAMES:
            (link / f"{name}.fcgi").symlink_to(program(name))
        folder = place("lighttpd", self.state, {
            "/usr/local/libexec/quintet": str(link),
            "/usr/local/share/quintet/lighttpd": str(self.state / "lighttpd"),
            "/run/quintet": str(self.state / "run"),
            "/var/log/quintet": str(self.state / "log"),
            "= 8080": f"= {self.port}",
            "127.0.0.1:9090": f"127.0.0.1:{self.metrics_port}",
            "/var/tmp": str(self.state / "run"),
        })
        return [tool("lighttpd"), "-D", "-f", str(folder / "lighttpd.conf")]


class LighttpdCgi(Server):
    """lighttpd that starts a process for each request: lighttpd/cgi.conf."""

    def configure(self):
        folder = copy_programs(self.state / "programs")
        write_settings(folder, base_environment(self.state, **self.environment))
        conf = place("lighttpd", self.state, {})
        environment = ", ".join(f'"{name}" => "{value}"'
                                for name, value in sanitizer_environment().items())
        path = self.state / "lighttpd.conf"
        path.write_text(f"""
server.bind = "127.0.0.1"
server.port = {self.port}
server.document-root = "{self.state}/run"
server.errorlog = "{self.state}/log/lighttpd.log"
server.breakagelog = "{self.state}/log/programs.log"
server.upload-dirs = ( "{self.state}/run" )
var.quintet_programs = "{folder}"
var.quintet_lighttpd = "{conf}"
include "{conf}/server.conf"
include "{conf}/cgi.conf"
setenv.set-environment = ( {environment} )
""")
        return [tool("lighttpd"), "-D", "-f", str(path)]


class Apache(Server):
    """Apache with mod_fcgid and apache/quintet.conf."""

    def configure(self):
        # Not below the state directory, where a file of ours keeps Apache out.
        self.apart = pathlib.Path(tempfile.mkdtemp(prefix="quintet-test-"))
        self.apart.chmod(0o755)
        self.programs = copy_programs(self.apart / "programs")
        write_settings(self.programs, base_environment(self.state, **self.environment))
        conf = place("apache", self.state, {"/usr/local/libexec/quintet": str(self.programs)})
        modules = pathlib.Path("/usr/lib/apache2/modules")
        if not (modules / "mod_fcgid.so").exists():
            pytest.skip("mod_fcgid is not installed")
        loads = "\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so"
                          for name in ("mpm_event", "authz_core", "alias", "fcgid", "reqtimeout",
                                       "qos"))
        user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        if user:
            for owned in (self.state / "run", self.state / "log", self.state):
                shutil.chown(owned, "www-data", "www-data")
        environment = "\n".join(f'FcgidInitialEnv {name} "{value}"'
                                for name, value in sanitizer_environment().items())
        path = self.state / "apache.conf"
        path.write_text(f"""
LoadFile /usr/lib/x86_64-linux-gnu/libpcre.so.3
{loads}
{user}
ServerRoot {self.state}
ServerName 127.0.0.1
Listen 127.0.0.1:{self.port}
PidFile {self.state}/apache.pid
ErrorLog {self.state}/log/apache.log
DefaultRuntimeDir {self.state}
FcgidIPCDir {self.state}/run
FcgidProcessTableFile {self.state}/run/fcgid_shm
{environment}
Include {conf}/quintet.conf
""")
        return [tool("apache2"), "-D", "FOREGROUND", "-f", str(path)]

    def stop(self):
        super().stop()
        shutil.rmtree(self.apart, ignore_errors=True)
