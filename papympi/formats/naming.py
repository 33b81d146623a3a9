"""Says the name of a file in what reading or writing it raises: the one place where that is put into words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from papympi.errors import InputError, PapympiError
from papympi.model.telling import clean, tell_error


class NamedFile:
    """A file that is read or written, and says so when that goes wrong.

    Attributes:
        broken: something has been raised that is no error of papympi's own about one row or result.

    Args:
        path: the file.
        verb: what is done with it.
    """

    def __init__(self, path: Path, verb: Literal["read", "write"]) -> None:
        self.broken = False
        self._path = path
        self._verb = verb

    @contextlib.contextmanager
    def named(self, where: str = "") -> Iterator[None]:
        """Let what is raised within the block be one line with the name of the file, and where in it that was."""
        try:
            yield
        except PapympiError:
            raise
        except Exception as error:
            raise self.explain(error, where) from error

    def explain(self, error: Exception, where: str = "") -> PapympiError:
        """Return the error that says the name of the file, for one that is none of papympi's own."""
        self.broken = True
        kind = InputError if self._verb == "read" else PapympiError
        return kind(f"cannot {self._verb} {clean(repr(str(self._path)))}{where}: {self._tell(error)}")

    def _tell(self, error: Exception) -> str:
        """Return why, and what to do."""
        folder = self._path.parent
        if isinstance(error, FileNotFoundError) and self._verb == "write" and not folder.exists():
            return f"there is no folder {clean(repr(str(folder)))}; make it first"
        return (error.strerror if isinstance(error, OSError) else "") or tell_error(error)
