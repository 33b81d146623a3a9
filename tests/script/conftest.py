"""What tests of the script's world share: pools of every kind, calls of a function there, and scripts that are run."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from papympi import Graph, run
from papympi.testing.driver import POOLS, of_two

OTHERS = ("asyncio", "loky:2", "own ranks", "two members", "foreign threads", "foreign processes")
LOCAL = ("inline", "threads", "asyncio", "foreign threads")
"""Pools in the runner's process."""


@pytest.fixture(params=(*POOLS, *OTHERS))
def any_pool(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict]]:
    """Return the name of a kind of pool, and what `run(pools=...)` takes to have it under the name "pool"."""
    kind = request.param
    tables = {
        "own ranks": {"pool": {"backend": "mpi", "workers": 2, "isolate": False}},
        "two members": {
            "pool": {"members": ["threads", "processes"]},
            "threads": "threads:1",
            "processes": "processes:1",
        },
    }
    if not kind.startswith("foreign"):
        yield kind, tables.get(kind) or {"pool": of_two(kind) if kind in POOLS else kind}
        return
    spawned = {"max_workers": 2, "mp_context": get_context("spawn")}
    with ThreadPoolExecutor(2) if kind == "foreign threads" else ProcessPoolExecutor(**spawned) as executor:
        yield kind, {"pool": executor}


@pytest.fixture
def call() -> Callable[..., list]:
    """Return what calls a function of a test's module for some items on a pool, sent to it by value."""

    def call(function, items, pools, **options):
        graph = options.pop("graph", None) or Graph("script")
        stride = options.pop("stride", 1)
        graph.add(function, name="called", inputs={"item": "items"}, pool="pool", stride=stride)
        by_value = ("__main__", function.__module__)
        return list(run({"items": items}, graph=graph, pools=pools, by_value=by_value, targets=["called"], **options))

    return call


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
