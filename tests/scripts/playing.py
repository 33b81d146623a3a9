"""Plays the programs beside this file in the four ways to write them, on each pool, and says what came of it."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BIN = ROOT / ".venv-science" / "bin"
WAYS = ("run", "guarded", "unguarded", "notebook")
POOLS = ("processes", "mpi", "loky", "mpiexec", "threads", "inline")
"""Pools on which one process plays a program one after the other: those that change the process come last."""

GUARD = 'if __name__ == "__main__":\n'
PATIENCE_S = float(os.environ.get("SCRIPTS_PATIENCE", "40"))
REFUSAL = re.compile(r"\b(Shipping|Graph|Option|Input|Pool)Error\b|^papympi: ", re.MULTILINE)
LOOPBACK = {"FI_TCP_IFACE": "lo", "UCX_NET_DEVICES": "lo", "OMPI_MCA_btl_tcp_if_include": "lo"}


@dataclass(frozen=True)
class Clause:
    """One line of a program's head: where it holds, and what is said there."""

    kind: str
    places: tuple[str, ...]
    text: str

    def holds(self, way: str, pool: str) -> bool:
        """Say whether it holds for a way of writing and a pool."""
        return not {"*", way, pool, f"{way}/{pool}"}.isdisjoint(self.places)


@dataclass(frozen=True)
class Script:
    """One program: its text, and what its head says of it.

    The head is the docstring: the first line is what it is about; then lines `name: value`. `expect` is what comes of
    it on every pool; `inputs` what `papympi run` is given; `after` the files of which `papympi run` is to count the
    lines; `python` flags of the interpreter, `env` variables for it; `needs` a package that may not be installed;
    `alone` that each pool has a process of its own. `skip PLACES: why` says where it makes no sense; `refused PLACES:
    pattern` and `warned PLACES: pattern` where it may also be refused before the first result, or another result be
    warned of. A place is a way, a pool, or `way/pool`; `*` is everywhere.
    """

    path: Path
    fields: dict[str, str]
    clauses: tuple[Clause, ...]

    @property
    def name(self) -> str:
        """Return its name."""
        return self.path.stem

    @cached_property
    def text(self) -> str:
        """Return it as it is written, which is with a guard."""
        return self.path.read_text(encoding="utf-8")

    @property
    def unguarded(self) -> str:
        """Return it without its guard."""
        before, after = self.text.split(GUARD)
        return before + re.sub(r"^    ", "", after, flags=re.MULTILINE)

    @property
    def expected(self) -> Any:
        """Return what should come of it."""
        return json.loads(self.fields["expect"])

    def find(self, kind: str, way: str, pool: str) -> list[str]:
        """Return what its head says of a place."""
        return [clause.text for clause in self.clauses if clause.kind == kind and clause.holds(way, pool)]

    def skips(self, way: str, pool: str) -> str:
        """Return why it makes no sense somewhere, or nothing."""
        if (needed := self.fields.get("needs")) and not list(BIN.parent.glob(f"lib/*/site-packages/{needed}")):
            return f"{needed} is not installed"
        if pool == "mpiexec" and way != "run":
            return "mpiexec starts `papympi run`"
        return next(iter(self.find("skip", way, pool)), "")

    def pools(self, way: str, asked: Iterable[str] = POOLS) -> list[str]:
        """Return those of some pools on which it makes sense."""
        return [pool for pool in asked if not self.skips(way, pool)]


def read_script(path: Path) -> Script:
    """Return the program of a file."""
    title, _, rest = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).partition("\n")
    fields, clauses = {"title": title.rstrip(".")}, []
    for line in rest.strip().splitlines():
        key, _, value = line.partition(": ")
        kind, _, places = key.partition(" ")
        if places:
            clauses.append(Clause(kind, tuple(re.split(r",\s*", places)), value))
        else:
            fields[kind] = value
    return Script(path, fields, tuple(clauses))


def read_scripts() -> list[Script]:
    """Return all programs."""
    return [read_script(path) for path in sorted((HERE / "programs").glob("*.py"))]


@dataclass
class Cell:
    """What came of a program in one way on one pool.

    Attributes:
        word: "yes", "warned", "refused", "n/a" or "wrong".
        why: what was warned of or refused, why it makes no sense, or what is wrong.
    """

    word: str
    why: str = ""


@dataclass
class Played:
    """How a process ended."""

    code: int | None
    out: str
    err: str
    left: list[str] = field(default_factory=list)

    @property
    def values(self) -> list[Any]:
        """Return what it wrote in JSON, line by line."""
        return list(read_json(self.out))


def read_json(text: str) -> Iterator[Any]:
    """Yield the JSON that stands on lines of its own."""
    for line in text.splitlines():
        if line.startswith(("[", "{")):
            try:
                yield json.loads(line)
            except ValueError:
                continue


def environment(**more: str) -> dict[str, str]:
    """Return what programs find around them: nothing that speaks to Python or to papympi."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PAPYMPI_", "PYTHON"))}
    if tree := os.environ.get("SCRIPTS_TREE"):  # another papympi is to be tried
        plain["PYTHONPATH"] = tree
    return plain | LOOPBACK | {"MPLBACKEND": "agg", "PATH": f"{BIN}:{os.environ['PATH']}"} | more


def find_marked(mark: str) -> list[psutil.Process]:
    """Return the processes that have a mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if mark.encode() in Path(f"/proc/{process.pid}/environ").read_bytes():
                found.append(process)
        except OSError:
            continue
    return [process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def start(argv: Sequence[object], folder: Path, patience_s: float = PATIENCE_S, **more: str) -> Played:
    """Run a process to its end, and look for what it leaves; what hangs is killed."""
    mark = f"PLAYED={uuid.uuid4()}"
    with subprocess.Popen(
        [str(word) for word in argv],
        cwd=folder,
        env=environment(PLAYED=mark.partition("=")[2], **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=patience_s)
        except subprocess.TimeoutExpired:
            for each in find_marked(mark):
                with contextlib.suppress(psutil.NoSuchProcess):  # it went with another one
                    each.kill()
            out, err = process.communicate()
            return Played(None, out, err)
        end = time.monotonic() + 5
        while (left := find_marked(mark)) and time.monotonic() < end:
            time.sleep(0.05)
        names = [f"{each.pid} {' '.join(each.cmdline())[:80]}" for each in left]
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
    return Played(process.returncode, out, err, names)


def command(script: Script, way: str, pools: Sequence[str]) -> list[object]:
    """Return the command that plays a program on some pools; with `papympi run` on one."""
    flags = script.fields.get("python", "").split()
    if way == "notebook":
        return [BIN / "python", HERE / "book.py", f"{script.name}.py", *map(of_two, pools)]
    if way != "run":
        return [BIN / "python", *flags, f"{script.name}.py", *map(of_two, pools)]
    ranks = [BIN / "mpiexec", "-n", "3"] if pools == ["mpiexec"] else []
    given = f"work={'mpi' if ranks else of_two(*pools)}"
    words = ["run", f"{script.name}.py", "--input", script.fields["inputs"], "--pool", given]
    return [*ranks, BIN / "python", *flags, BIN / "papympi", *words, "--output", "-", "--no-progress"]


def of_two(pool: str) -> str:
    """Return a pool with two workers, if it has workers at all."""
    return pool if pool == "inline" else f"{pool}:2"


def play_once(script: Script, way: str, pools: Sequence[str], folder: Path) -> Played:
    """Play a program in a fresh folder, with what stands beside it."""
    shutil.copytree(HERE / "programs" / "beside", folder)
    (folder / f"{script.name}.py").write_text(script.unguarded if way == "unguarded" else script.text)
    more = {"JUPYTER_PLATFORM_DIRS": "1", "IPYTHONDIR": str(folder / "ipython")}
    more |= dict(word.split("=") for word in script.fields.get("env", "").split())
    played = start(command(script, way, pools), folder, **more)
    if way == "run" and played.code == 0:
        values = [row["value"] for row in played.values if "value" in row]
        if pattern := script.fields.get("after"):
            values = [sum(len(path.read_text().splitlines()) for path in folder.glob(pattern))]
        played.out = json.dumps(values)
    return played


def judge(script: Script, way: str, pool: str, played: Played, value: Any) -> Cell:
    """Return what came of a program on one pool; `value` is None when it gave none."""
    expected = script.expected
    if played.left:
        return Cell("wrong", f"left behind: {played.left}")
    for pattern in script.find("warned", way, pool):
        if value is not None and (match := re.search(pattern, played.err)):
            return Cell("warned", match[0])
    if value == expected:
        return Cell("yes")
    for pattern in script.find("refused", way, pool):
        if value is None and REFUSAL.search(played.err) and (match := re.search(pattern, played.err)):
            return Cell("refused", match[0])
    if played.code is None:
        return Cell("wrong", f"hangs: {played.err[-300:]}")
    return Cell("wrong", f"{value!r} for {expected!r}, exit {played.code}: {played.err[-1200:]}")


def play(script: Script, way: str, pools: Iterable[str], folder: Path) -> dict[str, Cell]:
    """Play a program in one way on some pools; in one process, if it can be, and alone where that gave nothing."""
    cells = {pool: Cell("n/a", why) for pool in pools if (why := script.skips(way, pool))}
    wanted = script.pools(way, pools)
    if way != "run" and "alone" not in script.fields and len(wanted) > 1:
        played = play_once(script, way, wanted, folder / "together")
        if played.code == 0 and len(played.values) == len(wanted):
            pairs = zip(wanted, played.values, strict=True)
            found = {pool: judge(script, way, pool, played, value) for pool, value in pairs}
            cells |= {pool: cell for pool, cell in found.items() if cell.word == "yes"}
    for pool in wanted:
        if pool not in cells:
            played = play_once(script, way, [pool], folder / pool)
            value = played.values[0] if played.code == 0 and len(played.values) == 1 else None
            cells[pool] = judge(script, way, pool, played, value)
    return cells


if __name__ == "__main__":
    sys.exit("python -m tests.scripts.matrix plays them")
