"""Fixtures for the tests of script/: each works on a tree of its own in a temporary directory."""
import os
import pathlib
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ.get("QUINTET_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))


class Tree:
    """A directory that holds copies of some scripts and whatever a test writes beside them."""

    def __init__(self, root):
        self.root = root

    def copy(self, *names):
        for name in names:
            target = self.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(SOURCE / name, target)

    def write(self, name, text, executable=False):
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
        if executable:
            target.chmod(0o755)

    def run(self, *command):
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)
