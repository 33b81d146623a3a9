"""Runs scripts as users do: in an interpreter and a folder of their own."""

import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def run_script(tmp_path):
    """Run a script with arguments and return what it prints, line by line; files beside it are given by name."""

    def run(text, *arguments, flags=(), check=True, **files):
        for name, content in {"script": text, **files}.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(content))
        command = [sys.executable, *flags, "script.py", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
        if check:
            assert done.returncode == 0, done.stderr
            return done.stdout.splitlines()
        return done

    return run
