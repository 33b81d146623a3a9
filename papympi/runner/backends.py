"""What comes with papympi as plugins like any other: one for each pool, so that each can be blocked, one for files."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from papympi.contracts import Backend, Reader, WriterFactory
from papympi.hookspecs import hookimpl


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


class FilesPlugin:
    """The plugin of the file formats that come with papympi.

    Attributes:
        name: of the plugin.
        module: where the formats are.
    """

    name = "files"
    module = "papympi.formats.file_formats"

    @hookimpl
    def papympi_readers(self) -> Mapping[str, Reader]:
        """Return the readers by suffix."""
        from papympi.formats.file_formats import READERS

        return READERS

    @hookimpl
    def papympi_writers(self) -> Mapping[str, WriterFactory]:
        """Return the writers by suffix."""
        from papympi.formats.file_formats import WRITERS

        return WRITERS


BUILTINS: tuple[PoolPlugin | FilesPlugin, ...] = (
    *(PoolPlugin(name) for name in ("inline", "threads", "asyncio", "processes", "mpi", "mpi4py")),
    FilesPlugin(),
)
"""The built-in plugins, in the order in which they are registered."""
