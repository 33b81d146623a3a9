"""Pools of loky's processes: the plugin that shows what a backend is made of."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any, Final

from papympi.contracts import Backend, Capabilities
from papympi.hookspecs import hookimpl
from papympi.script.interpreter import list_variables

CAPABILITIES: Final = Capabilities(streams=False)
"""A loky process is like any other that somebody else owns: it cannot hold a generator between two batches."""


def make_executor(name: str, workers: int | None = None, timeout: float | None = None) -> Executor:  # noqa: ARG001 - said to all
    """Return a fresh executor.

    Args:
        name: the pool's name.
        workers: how many processes; by default as many as there are CPUs.
        timeout: seconds after which a process without work ends; by default it stays.
    """
    import loky

    executor: Executor = loky.ProcessPoolExecutor(max_workers=workers, timeout=timeout, env=list_variables())
    return executor


def end_executor(executor: Any) -> None:
    """Kill the processes of an executor.

    A thread of loky's may be writing into a full pipe that nobody reads any more, and would for ever, as loky keeps the
    other end open.
    """
    calls = getattr(executor, "_call_queue", None)
    executor.shutdown(wait=True, kill_workers=True)
    if calls is not None:
        calls._reader.close()  # noqa: SLF001 - the only way to that end


@hookimpl
def papympi_backends() -> Mapping[str, Backend]:
    """Return the one backend."""
    summary = "loky's processes (options: workers, timeout)"
    return {"loky": Backend(make_executor, summary, CAPABILITIES, end_executor)}
