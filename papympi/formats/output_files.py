"""Files of results: opened by their suffix, whole at the end or cut off, never with half a row."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from papympi.contracts import Writer, WriterFactory
from papympi.errors import OptionError, PapympiError
from papympi.formats.file_formats import WRITERS, encode_text
from papympi.model.item import Failure, Result
from papympi.model.telling import tell, tell_error, tell_kind


@contextlib.contextmanager
def open_output(path: Path, writers: Mapping[str, WriterFactory] | None = None) -> Iterator[Writer]:
    """Open a file for results by its suffix. It appears under its name at the end, however the end comes.

    Until then it is called `NAME.part`. When nothing was written and an exception ends the block, it does not appear.

    Raises:
        OptionError: no writer for this suffix.
        PapympiError: the file cannot be written.
    """
    writers = WRITERS if writers is None else writers
    if path.suffix not in writers:
        known = ", ".join(sorted(writers))
        raise OptionError(f"cannot write {path.name!r}: the suffix of an output is one of {known}, or - for stdout")
    with open_part(path) as file:
        writer = _NamedWriter(writers[path.suffix](file), path)
        finished = False
        try:
            yield writer
            finished = True
        finally:
            if finished or (not writer.broken and _has_rows(file)):
                writer.close()


class _NamedWriter:
    """A writer that says the name of its file in what it raises.

    Attributes:
        broken: it has raised something else than an error of its own about one result.
    """

    def __init__(self, writer: Writer, path: Path) -> None:
        self.broken = False
        self._writer = writer
        self._path = path

    def write(self, result: Result) -> None:
        """Write one result."""
        try:
            self._writer.write(result)
        except PapympiError:
            raise
        except Exception as error:
            self.broken = True
            raise _explain(self._path, error) from error

    def close(self) -> None:
        """Write what is left."""
        with _naming(self._path):
            self._writer.close()


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say the name of a file in what is raised within the block."""
    try:
        yield
    except PapympiError:
        raise
    except Exception as error:
        raise _explain(path, error) from error


def _explain(path: Path, error: Exception) -> PapympiError:
    """Return the error that says which file cannot be written, and why."""
    told = error.strerror if isinstance(error, OSError) else ""
    return PapympiError(f"cannot write {str(path)!r}: {told or tell_error(error)}")


def encode_failure(failure: Failure) -> bytes:
    """Return a failure as a line of JSON."""
    row = {
        "node": failure.node,
        "key": failure.key,
        "error": tell_kind(failure.error),
        "message": tell(failure.error),
        "input": failure.input,
        "worker": failure.worker,
        "attempts": failure.attempts,
        "traceback": failure.traceback,
    }
    return encode_text(json.dumps(row, ensure_ascii=False)) + b"\n"


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Write lines to a file, which appears when they are all there."""
    with open_part(path) as file:
        file.writelines(lines)


@contextlib.contextmanager
def open_part(path: Path) -> Iterator[IO[bytes]]:
    """Open a file under the name `NAME.part` and give it its own name at the end.

    It is removed instead if an exception ends the block and nothing was written. Pipes and devices are written
    directly.
    """
    with _naming(path):
        path = path.resolve()
        special = path.exists() and not path.is_file()
        part = path if special else path.with_name(path.name + ".part")
        file = part.open("wb" if special else "w+b")
    worth = False
    try:
        try:
            yield file
            worth = True
        finally:
            worth = worth or _has_rows(file)
            with _naming(path):
                file.close()
    finally:
        if worth and not special:
            part.replace(path)
        elif not special:
            part.unlink()


def _has_rows(file: IO[bytes]) -> bool:
    """Return whether something was written; of a pipe one cannot know, and assumes it."""
    return not file.seekable() or file.tell() > 0
