"""What programs map: a heavy library is loaded by the program that needs it, when it first does."""
import pathlib

import pytest

from chat_help import KEY, complete
from suite import Suite
from upstream_stub import UpstreamStub

PROGRAMS = ("health", "auth", "chat", "charts", "metrics")


@pytest.fixture
def stub():
    stub = UpstreamStub().start()
    yield stub
    stub.stop()


@pytest.fixture
def suite(stub):
    suite = Suite({"PROVIDER_STUB_BASE_URL": stub.url, "DEMO_ENABLED": "true", "API_KEYS": KEY})
    try:
        suite.start_process()
        yield suite
    finally:
        suite.stop()


def who_maps(suite, library):
    return {program for program in PROGRAMS for pid in suite.pids(program)
            if library in pathlib.Path(f"/proc/{pid}/maps").read_text()}


def test_libcurl_is_mapped_by_those_alone_who_have_called_somebody(suite):
    assert all(suite.pids(program) for program in PROGRAMS)
    for path in ("/health", "/auth/me", "/v1/models", "/api/charts", "/metrics"):
        assert suite.get(path, headers={"X-API-Key": KEY}).status < 500
    assert complete(suite, "demo/echo").status == 200
    assert who_maps(suite, "libcurl") <= {"health"}  # which may have probed the provider by now
    assert complete(suite, "stub/ok").status == 200
    assert who_maps(suite, "libcurl") - {"health"} == {"chat"}


def test_libcrypto_is_mapped_by_those_alone_who_were_shown_a_credential(stub):
    suite = Suite({"PROVIDER_STUB_BASE_URL": stub.url})
    try:
        suite.start_process()
        for path in ("/health", "/health/ready", "/metrics", "/auth/me", "/api/charts"):
            assert suite.get(path).status < 500
        assert who_maps(suite, "libcrypto") - who_maps(suite, "libcurl") == set()
        token = suite.token()
        assert suite.get("/auth/me", token=token).status == 200
        assert who_maps(suite, "libcrypto") - who_maps(suite, "libcurl") == {"auth"}
        assert suite.get("/api/charts", token=token).status == 200
        assert who_maps(suite, "libcrypto") - who_maps(suite, "libcurl") == {"auth", "charts"}
    finally:
        suite.stop()
