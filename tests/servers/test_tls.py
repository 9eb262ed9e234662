"""Production behind HTTPS as tls.conf of each server says, with nothing set but what the documents say:
no TRUSTED_PROXIES, no redirect that never ends, and a client that leaves is noticed."""
import http.client
import json
import pathlib
import secrets
import ssl
import subprocess
import time

import pytest

from suite import Answer, free_port
from web_servers import Apache, Lighttpd, Nginx, tool

KEY = "sk-" + secrets.token_hex(32)
PRODUCTION = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": secrets.token_hex(32),
    "JWT_SECRET_KEY": secrets.token_hex(32),
    "API_KEYS": KEY,
    "ALLOWED_HOSTS": "127.0.0.1",
}
LEAVE_SECONDS = 1
TLS_FOLDER = "/etc/quintet/tls"


def make_certificate(state):
    """A self-signed one, where the configurations expect it."""
    folder = state / "tls"
    folder.mkdir()
    subprocess.run([tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-keyout", folder / "privkey.pem",
                    "-out", folder / "fullchain.pem"], check=True, capture_output=True)
    return str(folder)


def change(path, changes):
    text = path.read_text()
    for old, new in changes.items():
        assert old in text, (path, old)
        text = text.replace(old, new)
    path.write_text(text)


class OverTls:
    """Beside the port of HTTP, HTTPS on `tls_port`."""

    def configure(self):
        self.environment = {**PRODUCTION, **self.environment}
        self.tls_port = free_port()
        command = super().configure()
        self.add_tls(make_certificate(self.state))
        return command

    def connect(self):
        context = ssl.create_default_context(cafile=self.state / "tls" / "fullchain.pem")
        context.check_hostname = False
        return http.client.HTTPSConnection("127.0.0.1", self.tls_port, context=context, timeout=30)

    def ask(self, method, path):
        connection = self.connect()
        connection.request(method, path, headers={"X-API-Key": KEY})
        response = connection.getresponse()
        answer = Answer(response, response.read())
        connection.close()
        return answer

    def answers(self):
        assert self.process.poll() is None, self.logs()
        try:
            return self.ask("GET", "/health").status == 200
        except OSError:
            return False


class LighttpdTls(OverTls, Lighttpd):
    def add_tls(self, folder):
        change(self.state / "lighttpd" / "tls.conf",
               {TLS_FOLDER: folder, '":443"': f'"127.0.0.1:{self.tls_port}"'})
        with (self.state / "lighttpd" / "lighttpd.conf").open("a") as text:
            text.write('include "tls.conf"\n')


class NginxTls(OverTls, Nginx):
    def add_tls(self, folder):
        change(self.state / "nginx" / "tls.conf",
               {TLS_FOLDER: folder, "listen 443 ": f"listen 127.0.0.1:{self.tls_port} ",
                "listen 80 ": f"listen 127.0.0.1:{self.port} "})
        change(self.state / "nginx" / "nginx.conf", {
            "    server {\n        listen 127.0.0.1:" + str(self.port) + " backlog=4096;\n"
            "        include locations.conf;\n    }\n": "    include tls.conf;\n"})


class ApacheTls(OverTls, Apache):
    def add_tls(self, folder):
        change(self.state / "apache" / "tls.conf",
               {TLS_FOLDER: folder, "Listen 443": f"Listen 127.0.0.1:{self.tls_port}",
                "*:443": f"127.0.0.1:{self.tls_port}",
                "/usr/local/share/quintet/apache": str(self.state / "apache")})
        modules = pathlib.Path("/usr/lib/apache2/modules")
        with (self.state / "apache.conf").open("a") as text:
            text.write(f"LoadModule ssl_module {modules}/mod_ssl.so\nInclude {self.state}/apache/tls.conf\n")


SERVERS = {"lighttpd": LighttpdTls, "nginx": NginxTls, "apache": ApacheTls}


@pytest.fixture(params=SERVERS)
def server(request, started):
    return started(SERVERS[request.param])


def test_requests_over_https_are_answered_and_those_without_are_sent_there_once(server):
    answer = server.ask("GET", "/v1/models")
    assert answer.status == 200
    assert "strict-transport-security" in answer.headers
    for headers in ({}, {"X-Forwarded-Proto": "https"}, {"X_Forwarded_Proto": "https"}):
        answer = server.get("/v1/models?a=b", headers=headers)
        assert answer.status == 308
        assert answer.headers["location"].startswith("https://127.0.0.1")
        assert answer.headers["location"].endswith("/v1/models?a=b")


def test_probes_and_metrics_are_answered_without_https(server):
    for path in ("/health", "/health/live", "/health/ready", "/ready", "/metrics"):
        assert server.get(path).status == 200, path


def leave_a_call(server, stub, before):
    """Seconds until the provider saw that the client had gone; None if it did not in time."""
    connection = server.connect()
    connection.request("POST", "/v1/chat/completions", json.dumps({
        "model": "stub/stall", "messages": [{"role": "user", "content": "hello"}]}),
        {"Content-Type": "application/json", "X-API-Key": KEY})
    received = stub.last("stall", timeout=10, after=before)
    connection.close()
    left = time.monotonic()
    received.wait_for_client_gone(LEAVE_SECONDS)
    return None if received.client_gone_at is None else received.client_gone_at - left


# On a busy machine lighttpd may, now and then, find handshake and request there without a wait, and
# then does not watch for the end: see "When a client leaves" in docs/deploying.md.
@pytest.mark.parametrize("kind, tries", [(LighttpdTls, 3), (NginxTls, 1)],
                         ids=["lighttpd", "nginx"])
def test_a_client_that_leaves_a_call_without_a_stream_cancels_it(private, stub, kind, tries):
    server = private(kind, {"PROVIDER_STUB_BASE_URL": stub.url})
    before = stub.count("stall")
    assert any(leave_a_call(server, stub, before + number) is not None for number in range(tries))
