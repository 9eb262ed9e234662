"""The suite behind Apache with mod_fcgid, configured as docs/deploying.md says. A process serves one
request at a time here, so a stream occupies one."""
import pytest

from promises import Promises
from web_servers import Apache


@pytest.fixture
def server(started):
    return started(Apache)


class TestApache(Promises):
    leave_seconds = 5  # the second event after the client has left
