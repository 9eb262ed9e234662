"""apache/htaccess as it stands: an account of a shared host, whose owner can only put files into a
folder of the document root. The programs run as plain CGI."""
import pathlib
import shutil

import pytest

from suite import ROOT
from web_servers import Server, base_environment, copy_programs, tool, write_settings

PREFIX = "/shop"


class SharedHost(Server):
    """Apache with what hosts give: AllowOverride All, mod_rewrite, mod_cgid; nothing of ours."""

    prefix = PREFIX

    def configure(self):
        document_root = self.state / "public_html"
        document_root.mkdir()
        folder = copy_programs(document_root / PREFIX.strip("/"))
        shutil.copy(ROOT / "apache/htaccess", folder / ".htaccess")
        # In the home directory beside the document root, as the README says.
        home = self.state / "quintet"
        for owned in (home, home / "run", home / "log"):
            owned.mkdir()
            shutil.chown(owned, "www-data", "www-data")
        write_settings(folder, base_environment(home, **self.environment))
        (folder / "quintet.conf").chmod(0o600)
        shutil.chown(folder / "quintet.conf", "www-data", "www-data")
        modules = pathlib.Path("/usr/lib/apache2/modules")
        loads = "\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in
                          ("mpm_event", "authz_core", "cgid", "mime", "rewrite", "dir", "autoindex"))
        for owned in (self.state / "run", self.state / "log", self.state):
            shutil.chown(owned, "www-data", "www-data")
        path = self.state / "apache.conf"
        path.write_text(f"""
{loads}
User www-data
Group www-data
ServerRoot {self.state}
ServerName 127.0.0.1
Listen 127.0.0.1:{self.port}
PidFile {self.state}/apache.pid
ErrorLog {self.state}/log/apache.log
DefaultRuntimeDir {self.state}
ScriptSock {self.state}/run/cgid.sock
TypesConfig /etc/mime.types
DocumentRoot {document_root}
<Directory {document_root}>
    AllowOverride All
    Require all granted
</Directory>
""")
        return [tool("apache2"), "-D", "FOREGROUND", "-f", str(path)]

    def request(self, method, path, *arguments, **options):
        return super().request(method, self.prefix + path, *arguments, **options)

    def answers(self):
        try:
            return super().answers()
        except ValueError:
            return False


@pytest.fixture
def server(started):
    return started(SharedHost)


def test_the_routes_answer_below_the_folder_without_the_programs_names(server):
    person = server.register()
    assert server.get("/auth/me", token=person["access_token"]).json["email"] == person["email"]
    assert server.get("/health/live").status == 200
    assert server.get("/api/v1/v1/models", token=person["access_token"]).status == 200
    assert server.get("/api/charts", token=person["access_token"]).status == 200
    assert b"http_requests_total" in server.get("/metrics").body
    answer = server.post("/v1/chat/completions", token=person["access_token"], body={
        "model": "demo/echo", "messages": [{"role": "user", "content": "hello"}]})
    assert answer.status == 200 and answer.json["choices"]
    assert server.post("/auth/logout?all=true", token=person["access_token"]).status == 200


@pytest.mark.parametrize("path", [
    "/quintet.conf", "/.htaccess", "/health.fcgi", "/auth.fcgi", "/auth.fcgi/auth/me",
    "/health.fcgi/health", "/nothing", "/var/secrets/secret_key"])
def test_no_file_of_the_folder_is_served(server, path):
    (server.state / "public_html" / PREFIX.strip("/") / "var/secrets").mkdir(parents=True, exist_ok=True)
    (server.state / "public_html" / PREFIX.strip("/") / "var/secrets/secret_key").write_text("s3cret")
    answer = server.get(path)
    assert answer.status == (403 if path in ("/quintet.conf", "/.htaccess") else 404), answer
    assert b"s3cret" not in answer.body and b"JWT_SECRET_KEY" not in answer.body
