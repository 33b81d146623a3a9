"""Everything that the documentation shows is true: its files are written, its commands are run, on several pools.

A fenced block whose first line is a comment with a file's name, `# words.py`, is that file. In a `console` block each
line that starts with `$ ` is run where those files are, and the lines behind it must be what it writes to standard
output. The commands of a page run on two of the pools, which take the place of all pools of the example. Other `python`
blocks are fragments, which must at least compile.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from papympi.testing.driver import POOLS, of_two

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and the line it begins in."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str:
        """Return the name of the file that it is, if it is one."""
        match = re.match(r"# ([\w-]+\.\w+)\n", self.text)
        return match[1] if match else ""


def read_blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    fences = re.finditer(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [Block(fence[1], fence[2], page.count("\n", 0, fence.start()) + 1) for fence in fences]


def read_commands(text: str) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with what it is to write."""
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)
    assert parts[0] == ""
    return list(zip(parts[1::2], parts[2::2], strict=True))


def run_command(command: str, folder: Path, pool: str) -> str:
    """Run one command of a page; under mpiexec its own pools stay, as the ranks are what is to be shown."""
    words = shlex.split(command)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if words[0] != "mpiexec":
        environment["PAPYMPI_POOLS"] = f"*={of_two(pool)}"
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def play(page: Path, folder: Path, pool: str) -> None:
    """Follow a page from its first block to its last."""
    for block in read_blocks(page.read_text(encoding="utf-8")):
        place = f"{page.name}:{block.line}"
        if block.file:
            (folder / block.file).write_text(block.text)
        elif block.language == "python":
            compile(block.text, place, "exec")
        elif block.language == "console":
            for command, expected in read_commands(block.text):
                assert run_command(command, folder, pool) == expected, f"{place}: {command}"


def has_commands(page: Path) -> bool:
    """Say whether a page has anything to run."""
    return any(block.language == "console" for block in read_blocks(page.read_text(encoding="utf-8")))


SHOWN = [page for page in PAGES if has_commands(page)]
PLACES = [(page, POOLS[(number + step) % len(POOLS)]) for number, page in enumerate(SHOWN) for step in (0, 2)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("page", "pool"), PLACES, ids=lambda part: getattr(part, "stem", part))
def test_page_is_true(page, pool, tmp_path):
    """What a page shows is true."""
    play(page, tmp_path, pool)


@pytest.mark.parametrize("page", [page for page in PAGES if not has_commands(page)], ids=lambda page: page.stem)
def test_fragments_compile(page, tmp_path):
    play(page, tmp_path, "inline")


def test_untruth_is_seen(tmp_path):
    """What is not true is seen."""
    page = tmp_path / "page.md"
    page.write_text("```python\n# a.py\nprint(1)\n```\n\n```console\n$ python a.py\n1\n```\n")
    play(page, tmp_path, "inline")
    page.write_text("```python\n# a.py\nprint(2)\n```\n\n```console\n$ python a.py\n1\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:6: python a.py"):
        play(page, tmp_path, "inline")
    page.write_text("```python\ndef f(:\n```\n")
    with pytest.raises(SyntaxError):
        play(page, tmp_path, "inline")


@pytest.mark.timeout(180)
def test_documentation_builds(tmp_path):
    """Documentation builds without a warning."""
    arguments = [sys.executable, "-m", "sphinx", "-W", "-q", "-d", str(tmp_path / "trees"), str(ROOT / "docs")]
    done = subprocess.run([*arguments, str(tmp_path / "html")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "index.html").is_file()
