#!/usr/bin/python3
"""bench/hello/compare.py: the transport beside bare libfcgi, behind the same web servers.

Usage: compare.py [--seconds 5] [--rounds 3] [--build DIR]

Runs hello_transport and hello_libfcgi, 8 threads each, behind lighttpd (a new connection for each
request) and nginx (new connections, and 64 kept ones), and prints requests per second as the
median of the rounds, and the ratio. Figures of one machine mean little; the ratios are the result.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]

LIGHTTPD = """
server.document-root = "{dir}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{dir}/lighttpd.log"
server.modules = ("mod_fastcgi")
fastcgi.server = ("/" => (("socket" => "{socket}", "check-local" => "disable")))
"""

NGINX = """
daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    fastcgi_temp_path {dir}/fastcgi;
    proxy_temp_path {dir}/proxy;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    upstream program {{ server unix:{socket}; {keepalive} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ include /etc/nginx/fastcgi.conf; fastcgi_pass program; {keep} }}
    }}
}}
"""


def wait_for(url):
    end = time.monotonic() + 5
    while True:
        try:
            return urllib.request.urlopen(url, timeout=1).read()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def web_server(kind, folder, socket, port):
    if kind == "lighttpd":
        path = folder / "lighttpd.conf"
        path.write_text(LIGHTTPD.format(dir=folder, port=port, socket=socket))
        return subprocess.Popen(["lighttpd", "-D", "-f", str(path)])
    kept = kind == "nginx kept"
    path = folder / "nginx.conf"
    path.write_text(
        NGINX.format(dir=folder, port=port, socket=socket,
                     keepalive="keepalive 64;" if kept else "",
                     keep="fastcgi_keep_conn on;" if kept else "")
    )
    return subprocess.Popen(["nginx", "-c", str(path), "-p", str(folder)])


def run(program, kind, path, seconds, port, threads):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        os.chmod(folder, 0o755)
        socket = folder / "program.sock"
        data = folder / "file"
        data.write_bytes(b"x" * 200_000)
        environment = dict(os.environ, HELLO_WORKERS=str(threads), HELLO_FILE=str(data))
        environment.pop("GATEWAY_INTERFACE", None)
        started = [subprocess.Popen([program, "--listen", str(socket)], env=environment)]
        try:
            while not socket.exists():
                time.sleep(0.01)
            os.chmod(socket, 0o666)
            started.append(web_server(kind, folder, socket, port))
            url = f"http://127.0.0.1:{port}{path}"
            wait_for(url)
            text = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", url],
                                  capture_output=True, text=True, check=True).stdout
            rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
            p99 = re.search(r"99%\s+(\S+)", text)[1]
            bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
            return rate, p99, int(bad[1]) if bad else 0
        finally:
            for process in reversed(started):
                stop(process)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--port", type=int, default=18437)
    parser.add_argument("--only", default="")
    parser.add_argument("--build", default=str(ROOT / "build" / "bench" / "hello"))
    options = parser.parse_args()
    for tool in ("lighttpd", "nginx", "wrk"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed")
    print(f"{'':28}{'libfcgi':>20}{'transport':>20}{'ratio':>8}")
    # Kept connections pin a libfcgi thread each: it gets one for each of them there.
    for kind, path, threads in (("lighttpd", "/hello", 8), ("nginx", "/hello", 8),
                                ("nginx kept", "/hello", 64), ("lighttpd", "/file", 8),
                                ("nginx kept", "/file", 64)):
        if options.only and options.only != kind:
            continue
        results = {}
        for _ in range(options.rounds):
            for program in ("hello_libfcgi", "hello_transport"):
                count = options.threads if program == "hello_transport" else threads
                result = run(f"{options.build}/{program}", kind, path, options.seconds,
                             options.port, count)
                results.setdefault(program, []).append(result)
        cells = []
        for program in ("hello_libfcgi", "hello_transport"):
            rates = [rate for rate, _, _ in results[program]]
            bad = sum(count for _, _, count in results[program])
            cells.append((statistics.median(rates), results[program][-1][1], bad))
        texts = [f"{rate:9.0f}/s {p99:>8}" + (f" !{bad}" if bad else "")
                 for rate, p99, bad in cells]
        print(f"{kind + ' ' + path:28}{texts[0]:>20}{texts[1]:>20}{cells[1][0] / cells[0][0]:8.2f}",
              flush=True)


if __name__ == "__main__":
    main()
