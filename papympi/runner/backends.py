"""The built-in pools as plugins like any other: one each, so that each can be blocked."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from papympi.contracts import Backend
from papympi.hookspecs import hookimpl
from papympi.runner.files import FilesPlugin


class PoolPlugin:
    """The plugin of one pool that comes with papympi.

    Attributes:
        name: of the plugin and of its backend.
        module: where its `BACKEND` is; imported when backends are asked for.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.module = f"papympi.pools.{name}"

    @hookimpl
    def papympi_backends(self) -> Mapping[str, Backend]:
        """Return the one backend."""
        backend: Backend = import_module(self.module).BACKEND
        return {self.name: backend}


BUILTINS: tuple[PoolPlugin | FilesPlugin, ...] = (
    *(PoolPlugin(name) for name in ("inline", "threads", "asyncio", "processes", "mpi", "mpi4py")),
    FilesPlugin(),
)
"""The built-in plugins, in the order in which they are registered."""
