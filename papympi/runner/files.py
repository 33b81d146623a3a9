"""The built-in readers and writers of files as a plugin like any other."""

from __future__ import annotations

from collections.abc import Mapping

from papympi.contracts import Reader, WriterFactory
from papympi.hookspecs import hookimpl


class FilesPlugin:
    """The plugin of the file formats that come with papympi.

    Attributes:
        name: of the plugin.
        module: where the formats are.
    """

    name = "files"
    module = "papympi.formats.outputs"

    @hookimpl
    def papympi_readers(self) -> Mapping[str, Reader]:
        """Return the readers by suffix."""
        from papympi.formats.inputs import READERS

        return READERS

    @hookimpl
    def papympi_writers(self) -> Mapping[str, WriterFactory]:
        """Return the writers by suffix."""
        from papympi.formats.outputs import WRITERS

        return WRITERS
