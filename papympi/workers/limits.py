"""How much memory a worker may allocate: read from what the user says, set in the worker."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Final

from papympi.errors import OptionError

_UNITS: Final = {"": 1, "b": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY: Final = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
_FORM: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)
_LEAST: Final = 64 << 20
"""A worker with less than this, in bytes, could not even start."""


def parse_memory(pool: str, value: Any) -> int:
    """Return how many bytes "2 GB", "512MiB" or a number means; 0 for `None`: no limit.

    Raises:
        OptionError: another form, or too little for a worker to start.
    """
    if value is None:
        return 0
    found = _FORM.fullmatch(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
    if found is None:
        raise OptionError(f'pool {pool!r}: memory is {value!r}; it is a number of bytes, or e.g. "512 MB" or "2GiB"')
    unit = (found[2] or "").lower()
    size = int(float(found[1]) * (_BINARY.get(unit) or _UNITS[unit]))
    if size < _LEAST:
        raise OptionError(f"pool {pool!r}: memory={value!r} is too little; a worker needs at least 64 MiB")
    return size


def format_memory(size: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    for unit, factor in (("GB", 1000**3), ("MB", 1000**2)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"


def limit_memory(size: int) -> None:
    """Let this process allocate no more than so many bytes: what would need more raises a `MemoryError`.

    Shared maps do not count. Where the system knows no such limit nothing happens.
    """
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (size, hard))
