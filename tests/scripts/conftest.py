"""What tests of scripts share: the environment with the libraries that scripts import."""

from __future__ import annotations

import subprocess

import pytest

from tests.scripts.playing import BIN, ROOT


@pytest.fixture(scope="session", autouse=True)
def science():
    """Make the environment if it is not there; return its Python."""
    if not (BIN.parent / ".installed").exists():
        subprocess.run(["make", ".venv-science"], cwd=ROOT, check=True)
    return BIN / "python"
