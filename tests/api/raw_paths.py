"""Request targets that web servers read in different ways, made from a path that they all read
alike. Each is 400 on every route, whatever server is in front: the tests behind lighttpd and those
behind the other servers share this table."""
import re
import socket

# Name → what is made of a plain path such as /api/charts/v2/data/0/close.
AMBIGUOUS = {
    "encoded slash before dots": lambda path: path + "/..%2F..",
    "encoded slash in lower case": lambda path: path + "/..%2f..",
    "encoded slash first": lambda path: path + "/%2F..%2f",
    "encoded slash for the last": lambda path: "%2F".join(path.rsplit("/", 1)) if path.count("/") > 1 else path + "%2F",
    "encoded slash at the end": lambda path: path + "%2f",
    "dots": lambda path: path + "/..",
    "dots and a slash": lambda path: path + "/../",
    "dots in the middle": lambda path: "/x/.." + path,
    "dots behind a prefix": lambda path: "/api/v1/.." + path,
    "encoded dots": lambda path: path + "/%2e%2e",
    "one encoded dot": lambda path: path + "/.%2E/x",
    "encoded dots in the middle": lambda path: "/x/%2E%2e" + path,
    "one dot": lambda path: path + "/.",
    "one dot first": lambda path: "/." + path,
    "encoded single dot": lambda path: "/%2e" + path,
    "two slashes first": lambda path: "/" + path,
    "two slashes last": lambda path: path + "//",
    "two slashes inside": lambda path: "//".join(path.rsplit("/", 1)),
    "encoded backslash": lambda path: path + "%5C..%5c..",
    "backslash": lambda path: path + "\\..\\..",
    "NUL": lambda path: path + "%00",
    "NUL and more": lambda path: path + "%00/x",
    "byte that is no UTF-8": lambda path: path + "%ff",
    "overlong dots": lambda path: path + "/%c0%ae%c0%ae",
    "half a surrogate pair": lambda path: path + "%ed%a0%80",
    "lone percent": lambda path: path + "%",
    "half an escape": lambda path: path + "%2",
    "no escape": lambda path: path + "%zz",
}

# Read alike by all, so served as ever.
HARMLESS = {
    "slash at the end": lambda path: path + "/",
    "encoded letter": lambda path: path[:-1] + f"%{ord(path[-1]):02x}",
    "dots in the query": lambda path: path + "?x=/../..%2F..//",
    "absolute form": lambda path: "http://127.0.0.1" + path,
}

NAME_OF_A_MODEL = ("encoded slash for the last", "/v1/models/{provider}/")


def is_name_of_a_model(name, template):
    """OpenAI's own libraries encode the slash in the name of a model, so there it is one."""
    return name == NAME_OF_A_MODEL[0] and template.startswith(NAME_OF_A_MODEL[1])


def send(port, method, target, headers=(), seconds=20):
    """Status and whole answer of a request whose target goes out byte for byte."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 0", "Connection: close", *headers]
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall("\r\n".join(lines).encode("latin1") + b"\r\n\r\n")
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return int(answer.split(b" ", 2)[1]), answer


def example(template):
    """A path of a route's template."""
    return re.sub(r"\{pane_id\}", "0", re.sub(r"\{(?!pane_id)[^}]*\}", "v2", template))
