"""This host: how much memory may be used, how processes end, and what the kernel does for one."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from papympi.errors import OptionError
from papympi.workers.cpus import list_groups

_UNITS: Final = {"": 1, "b": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY: Final = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
_OUT_OF_MEMORY: Final = ("SIGKILL", "SIGABRT", "SIGSEGV", "SIGBUS")
"""What ends a worker whose C code gets no memory."""
_FORM: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)
_A_SIZE: Final = 'a number of bytes, or e.g. "512 MB" or "2GiB"'
_LEAST: Final = 64 << 20
"""A worker with less than this, in bytes, could not even start."""
MOST_LOCAL: Final = 4096
"""So many processes or threads of a pool may be on one host; more would take all its memory, if they came to start."""
_LOADS: Final = ("template", "each")
_PART: Final = 4
"""Shared memory, and the items of a run, take at most this part of all memory, unless somebody says how much."""


def check_count(pool: str, option: str, value: Any, *, local: bool = False) -> int:
    """Return `value` if it is a number of workers or places; `local`: of processes or threads of this host."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise OptionError(f"pool {pool!r}: {option} must be an integer of at least 1, not {value!r}")
    if local and value > MOST_LOCAL:
        raise OptionError(
            f"pool {pool!r}: {option} = {value} is more than {MOST_LOCAL}, and each is a process or thread of one "
            "host, which has not so many CPUs; to wait for many things at once there is the pool asyncio"
        )
    return value


def check_load(pool: str, value: Any) -> bool:
    """Return whether a template loads the script for all workers of a host; else each does."""
    if value not in _LOADS:
        raise OptionError(f"pool {pool!r}: load is {value!r}; it is {' or '.join(map(repr, _LOADS))}")
    return bool(value == _LOADS[0])


def parse_memory(pool: str, value: Any) -> int:
    """Return how many bytes "2 GB", "512MiB" or a number means; 0 for `None`: no limit."""
    if value is None:
        return 0
    size = _parse_size(pool, "memory", value)
    if size < _LEAST:
        raise OptionError(f"pool {pool!r}: memory={value!r} is too little; a worker needs at least 64 MiB")
    return size


def parse_renewal(pool: str, after: Any, above: Any) -> tuple[int, int]:
    """Return after how many items and above how many bytes a worker is replaced; 0 for `None`: it is not."""
    size = 0 if above is None else _parse_size(pool, "renew_above", above)
    if above is not None and size < _LEAST:
        raise OptionError(
            f"pool {pool!r}: renew_above={above!r} is too little; a worker has 64 MiB as soon as it works"
        )
    return 0 if after is None else check_count(pool, "renew_after", after), size


def parse_shared_memory(pool: str, value: Any) -> int | None:
    """Return how many bytes of shared memory a pool may take on a host; `None`: nobody has said."""
    return None if value is None else _parse_size(pool, "shared_memory", value)


def _parse_size(pool: str, option: str, value: Any) -> int:
    """Return how many bytes an option of a pool means."""
    try:
        return parse_size(value)
    except OptionError:
        raise OptionError(f"pool {pool!r}: {option} is {value!r}; it is {_A_SIZE}") from None


def parse_size(value: Any) -> int:
    """Return how many bytes a number or a text with a unit means."""
    found = _FORM.fullmatch(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
    if found is None:
        raise OptionError(f"{value!r} is not {_A_SIZE}")
    unit = (found[2] or "").lower()
    return int(float(found[1]) * (_BINARY.get(unit) or _UNITS[unit]))


def share_memory(said: int | None = None) -> int:
    """Return how many bytes something may take on this host: what is said, or a quarter of what there is."""
    return count_memory() // _PART if said is None else said


def count_memory() -> int:
    """Return how many bytes this process and its children may use: what the host has, or less if a limit says so."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_find_group_limits()]
    with contextlib.suppress(ImportError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        found += [] if limit == resource.RLIM_INFINITY else [limit]
    return min(found)


def _find_group_limits() -> Iterator[int]:
    """Yield what the control groups of this process may use, as far as it can be seen."""
    for group in list_groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):  # there is no such file, or it says "max"
                yield int((group / name).read_text(encoding="utf-8"))


def format_memory(size: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    for unit, factor in (("GB", 1000**3), ("MB", 1000**2), ("kB", 1000)):
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


def tell_end(code: int, memory: int) -> str:
    """Return what ended a worker, by its exit code (negative: a signal) and how many bytes it could allocate."""
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if memory and name in _OUT_OF_MEMORY:
        return f"{name}; its memory limit is {format_memory(memory)}"
    if name == "SIGKILL":
        return f"{name}; if nobody has killed it, the system did since memory was short"
    return name


def open_pidfd(pid: int) -> int:
    """Return a descriptor that is readable once a process has ended; -1 where the system has no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def is_stopped(pid: int) -> bool:
    """Say whether a process has been stopped by a signal, as far as the kernel tells."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in {b"T", b"t"}
    return False


def is_readable(descriptor: int, seconds: float) -> bool:
    """Wait for a descriptor to become readable, at most `seconds`."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def create_file(name: str) -> int:
    """Return a descriptor of a memory file that has no path, so that nothing needs to be removed whoever dies."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, os.MFD_CLOEXEC)
    import tempfile  # macOS: a file whose path is gone at once

    descriptor, path = tempfile.mkstemp(prefix=f"{name}-")
    Path(path).unlink()
    return descriptor


def die_with_parent(number: int) -> None:
    """Let the kernel send this process a signal when the one that has forked it ends, where it can."""
    _set_attribute(1, number)


def set_process_name(name: str) -> None:
    """Set what `ps -o comm` and `top` show; at most 15 characters."""
    _set_attribute(15, name.encode())


def adopt_orphans() -> None:
    """Let what processes below this one leave behind become its children, where the system can."""
    _set_attribute(36, 1)


def _set_attribute(option: int, value: int | bytes) -> None:
    """Set an attribute of this process, by its number in Linux's `prctl.h`."""
    import ctypes

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
