"""The lock of a run directory: one run at a time, and no lock that a dead process or host holds for ever."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from papympi.errors import JournalError
from papympi.launchers.slurm_state import AT_WORK, ask_states, find_job
from papympi.stores.rundir import read_object, read_own

NAME: Final = "lock"
BEAT_S: Final = 20.0
"""The holder touches its lock so often, in seconds."""
STALE_S: Final = 300.0
"""A lock of another host that has not been renewed for so many seconds is taken over."""
_PIDS: Final = 1 << 22
"""No process has a greater number."""


class Lock:
    """A file that says who runs here: host, process, when that process and its host started, and its job of Slurm.

    It is made by a link from a file of its own, which is atomic on network file systems too.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._mine = b""
        self._held: IO[bytes] | None = None

    def take(self) -> str:
        """Take the lock; return a note about a dead process that had it, or "".

        Raises:
            JournalError: a run that is alive holds it.
        """
        note = ""
        own = self._path.with_name(f"{NAME}.{socket.gethostname()}.{os.getpid()}")
        self._mine = json.dumps(describe_self()).encode()
        own.write_bytes(self._mine)
        own.chmod(0o600)
        try:
            while not self._link(own):
                said = read_own(self._path)
                holder = _parse(said)
                if holder is not None and is_alive(holder, self._path):
                    raise JournalError(
                        f"{self._path.parent} is in use by process {holder['pid']} on {holder['host']}; "
                        f"wait for it, or end it with: papympi cancel {self._path.parent}"
                    )
                note = f"took over from process {holder['pid']} on {holder['host']}, which is gone" if holder else ""
                self._break(said)
        finally:
            own.unlink(missing_ok=True)
        self._held = self._path.open("rb")  # by this others know that it is this process
        self._thread = threading.Thread(target=self._beat, name="papympi-lock", daemon=True)
        self._thread.start()
        return note

    def release(self) -> None:
        """Release the lock."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            if self._held is not None:
                self._held.close()
            with suppress(OSError):
                if self._path.read_bytes() == self._mine:
                    self._path.unlink()

    def _link(self, own: Path) -> bool:
        try:
            os.link(own, self._path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            return self._create()
        return True

    def _create(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._mine)
        return True

    def _break(self, said: bytes) -> None:
        """Take a dead lock away, if it still is the one that was found dead: another may have taken it over meanwhile.

        Only one at a time looks and takes. Where a file system cannot see to that, one that was taken in error is put
        back.
        """
        grave = self._path.with_name(f"{NAME}.dead.{socket.gethostname()}.{os.getpid()}")
        with _alone(self._path.parent), suppress(FileNotFoundError):
            if read_own(self._path) != said:
                return
            self._path.rename(grave)
            if read_own(grave) != said:
                with suppress(OSError):
                    os.link(grave, self._path)
            grave.unlink()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            with suppress(OSError):
                os.utime(self._path)


def describe_self() -> dict[str, Any]:
    """Return what a lock says of the process that holds it."""
    pid = os.getpid()
    where = {"host": socket.gethostname(), "pid": pid, "boot": _boot(), "job": find_job(os.environ)}
    return {**where, "began": _began(pid), "time": time.time()}


def read_holder(folder: Path) -> dict[str, Any] | None:
    """Return what the lock of a run directory says; `None` if there is none or it says nothing."""
    return _parse(read_own(folder / NAME))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others from doing what the block does in a folder, where the system can; it lets go of whoever dies."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(ImportError, OSError):  # another system, or a file system without such locks
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _parse(said: bytes) -> dict[str, Any] | None:
    """Return what a lock says, `None` if that is nothing that a lock says."""
    holder = read_object(said)
    texts = [holder.get(name) for name in ("host", "boot", "began")]
    pid, job = holder.get("pid"), holder.get("job")
    is_job = job is None or (isinstance(job, list) and [type(each) for each in job] == [str, int])
    is_sound = type(pid) is int and 1 < pid <= _PIDS and is_job and all(isinstance(each, str) for each in texts)
    return holder if is_sound else None


def is_alive(holder: Mapping[str, Any], path: Path) -> bool:
    """Return whether the holder of a lock may still run.

    On this host one can see. Of another Slurm may know that its job has ended, and else the age of the lock tells.
    """
    here = holder["host"] == socket.gethostname()
    if here and holder["boot"] == _boot():
        return _is_it(holder)
    if _has_ended(holder.get("job")):
        return False
    try:
        touched = path.stat().st_mtime
        now = _now_there(path)
    except OSError:
        return False
    return now - touched < (3 * BEAT_S if here else STALE_S)  # this host has started anew, or another has its name


def end(folder: Path) -> int:
    """Ask the process that holds the lock of a run directory to stop; return its number.

    No other process gets a signal, whatever the lock says: it is one of this boot of this host that has this lock open.

    Raises:
        JournalError: nothing runs there, or not on this host.
    """
    holder = read_holder(folder)
    if holder is None or not is_alive(holder, folder / NAME):
        raise JournalError(f"nothing runs in {folder}")
    pid: int = holder["pid"]
    if holder["host"] != socket.gethostname() or holder["boot"] != _boot():
        raise JournalError(f"the run in {folder} is process {pid} on {holder['host']}; cancel it there")
    with _open_process(pid) as send:
        if not _is_it(holder):
            raise JournalError(f"nothing runs in {folder}")
        if not _has_open(pid, folder / NAME):
            raise JournalError(
                f"process {pid}, which the lock of {folder} names, is no run in there, so nothing was ended; "
                f"if nothing runs, remove {folder / NAME}"
            )
        send(signal.SIGTERM)
    return pid


@contextmanager
def _open_process(pid: int) -> Iterator[Callable[[signal.Signals], None]]:
    """Yield what sends signals to a process, and to no later one of its number."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):  # another system, an old kernel, or no such process
        yield partial(os.kill, pid)
        return
    try:
        yield partial(signal.pidfd_send_signal, descriptor)
    finally:
        os.close(descriptor)


def _has_open(pid: int, path: Path) -> bool:
    """Return whether a process has a file open."""
    import psutil

    with suppress(psutil.Error, OSError):
        return any(Path(each.path).samefile(path) for each in psutil.Process(pid).open_files())
    return False


def _is_it(holder: Mapping[str, Any]) -> bool:
    """Return whether the process of a lock of this boot is there, and no later one of its number."""
    began = _began(holder["pid"])
    return began != "" and began == holder["began"]


def _has_ended(job: Any) -> bool:
    """Return whether a job of Slurm has no processes any more: it is over, or has been begun again."""
    if not isinstance(job, list):
        return False
    name, restarts = job
    own = find_job(os.environ)
    if own is not None and own[0] == name:
        return bool(own[1] != restarts)  # Slurm begins a job again when nothing of it is left, and not before
    states = ask_states(str(name))
    return states is not None and not states & AT_WORK


def _now_there(path: Path) -> float:
    """Return the time by the clock that stamps files there, which may be another host's."""
    probe = path.with_name(f"{NAME}.probe.{socket.gethostname()}.{os.getpid()}")
    probe.touch(mode=0o600)
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _boot() -> str:
    """Return an identifier of this boot of this host, and of the process namespace."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _began(pid: int) -> str:
    """Return when a process began, "" if there is no such process (any more)."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    if Path("/proc/self").exists():
        return ""
    import psutil

    return "alive" if psutil.pid_exists(pid) else ""
