"""Files of results: opened by their suffix, whole at the end or cut off, never with half a row."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from papympi.contracts import Writer, WriterFactory
from papympi.errors import JournalError, OptionError, PapympiError
from papympi.formats.file_formats import WRITERS
from papympi.formats.json_values import dump
from papympi.formats.naming import NamedFile
from papympi.model.item import Failure, Result
from papympi.model.telling import tell, tell_kind


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
        writer = _NamedWriter(writers[path.suffix](file), file, path)
        finished = refused = False
        try:
            yield writer
            finished = True
        except JournalError:  # a resumed run that is refused: the results that there are stay
            refused = path.is_file()
            raise
        finally:
            if refused:
                _cut(file, ())
            elif finished or (not writer.broken and _has_rows(file)):
                writer.close()
            if writer.broken:
                _cut(file, writer.ends)


class _NamedWriter:
    """A writer that says the name of its file in what it raises, and remembers where rows end.

    Attributes:
        ends: of the last rows, as many as may not have come to the disk yet.

    Args:
        writer: the writer.
        file: what it writes to.
        path: the name of the file.
    """

    def __init__(self, writer: Writer, file: IO[bytes], path: Path) -> None:
        self.ends: deque[int] = deque(maxlen=io.DEFAULT_BUFFER_SIZE + 1)
        self._writer = writer
        self._flush = file.flush
        self._tell = file.tell if file.seekable() else lambda: 0
        self._file = NamedFile(path, "write")

    @property
    def broken(self) -> bool:
        """It has raised something else than an error of its own about one result."""
        return self._file.broken

    def write(self, result: Result) -> None:
        """Write one result."""
        try:
            self._writer.write(result)
            self.ends.append(self._tell())
        except PapympiError:
            raise
        except Exception as error:
            raise self._file.explain(error) from error

    def close(self) -> None:
        """Write what is left."""
        with self._file.named():
            self._writer.close()
            self._flush()


def _cut(file: IO[bytes], ends: Iterable[int]) -> None:
    """Leave the whole rows of a file that takes no more; what waits to be written goes nowhere."""
    if not file.seekable():
        return
    number = file.fileno()
    with contextlib.suppress(OSError):  # the writer is what has failed, and the disk takes the rows before
        file.flush()
    size = os.fstat(number).st_size
    end = max((end for end in ends if end <= size), default=0)
    os.ftruncate(number, end)
    with tempfile.TemporaryFile() as nowhere, contextlib.suppress(OSError):
        os.dup2(nowhere.fileno(), number)
        file.seek(end)


def encode_failure(failure: Failure) -> bytes:
    """Return a failure as a line of JSON."""
    row = {
        "node": failure.node,
        "key": list(failure.key),
        "error": tell_kind(failure.error),
        "message": tell(failure.error),
        "input": failure.input,
        "worker": failure.worker,
        "attempts": failure.attempts,
        "traceback": failure.traceback,
    }
    return dump(row).encode() + b"\n"


def write_whole(path: Path, lines: Iterable[bytes]) -> None:
    """Write lines to a file, which appears when they are all there."""
    with open_part(path) as file:
        file.writelines(lines)


@contextlib.contextmanager
def open_part(path: Path) -> Iterator[IO[bytes]]:
    """Open a file under the name `NAME.part` and give it its own name at the end.

    It is removed instead if an exception ends the block and nothing was written. Pipes and devices are written
    directly.
    """
    with NamedFile(path, "write").named():
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
            with NamedFile(path, "write").named():
                file.close()
    finally:
        if worth and not special:
            part.replace(path)
        elif not special:
            part.unlink()


def _has_rows(file: IO[bytes]) -> bool:
    """Return whether something was written; of a pipe one cannot know, and assumes it."""
    return not file.seekable() or file.tell() > 0
