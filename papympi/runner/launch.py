"""How a job of ranks begins and ends: under mpiexec, and with an mpiexec that papympi starts itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Final

from papympi.errors import LaunchError
from papympi.launchers import mpiexec
from papympi.workers.host import die_with_parent

_EXIT_FILE: Final = "PAPYMPI_EXIT_FILE"
"""Environment variable: a file in which rank 0 says that it is ready for Ctrl-C, and at last its exit code."""
_READY: Final = "ready\n"
_NAMELESS: Final = "exit.nameless"
"""The name of that file where rank 0 is on the same host: it takes the name away, so that no kill leaves a file."""
_GRACE_S: Final = 5.0
"""How long the end of a run waits for ranks that have nothing to do any more."""
_HELD: Final = (signal.SIGINT,)
_RANK_0_FIRST_S: Final = 2.0
"""How long the other ranks wait with their exit when rank 0 has something to say: it ends the whole step under srun."""


def choose_default_pool(name: str | None) -> str:
    """Return the pool of nodes that name none: the one that is set, else the ranks there are, else processes."""
    return name or ("mpi" if launched_ranks() > 1 else "processes")


def launched_ranks() -> int:
    """Return how many ranks the launcher of this process has promised; 0 if there was none. MPI is not loaded."""
    return mpiexec.promised_ranks(os.environ)


def rank_main(main: Callable[[], int]) -> int:
    """Be one of the ranks that a launcher has started: rank 0 runs `main`, the others serve it until it returns.

    SIGTERM is for rank 0 alone, which finishes the running batches; a launcher sends it to all.
    Whatever any rank raises ends them all, with its traceback and a non-zero exit code.

    Returns:
        The exit code of this rank.

    Raises:
        LaunchError: launcher and MPI library do not belong together.
    """
    from papympi.workers.ranks.allocation import join
    from papympi.workers.ranks.worker import serve
    from papympi.workers.ranks.world import attach, start_fork_server

    path = os.environ.pop(_EXIT_FILE, "")
    isolates = mpiexec.promised_rank(os.environ) or launched_ranks() == 1  # rank 0 of others has no children
    drain = read_drain_signal()
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)  # one rank must not end while the others wait for it to meet them
    try:
        world = attach(launched_ranks(), start_fork_server() if isolates else None)
    except LaunchError:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # srun sends it when the first task has ended
        if mpiexec.promised_rank(os.environ):
            time.sleep(_RANK_0_FIRST_S)  # rank 0 tells
            return 2
        raise
    if world.rank:
        _leave_output()
        code = world.protect(partial(serve, world, signal.SIGTERM))  # srun sends it if rank 0 ends with another code
        world.leave()
        return code
    signal.signal(drain, _interrupt)
    with _open_exit_file(path) as say:
        say(_READY)
        ranks = join(world)
        code = world.protect(partial(_begin, main))
        if ranks.closing or not ranks.dismiss(_GRACE_S):
            say(str(code))
            world.abort(code)  # a rank still evaluates a batch that is not needed any more
        world.leave()
        say(str(code))
    return 0 if path else code  # launchers take a non-zero code for a crash, and complain


def _begin(main: Callable[[], int]) -> int:
    """Let Ctrl-C through that was held back, and call `main`."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return main()


@cache
def read_drain_signal() -> signal.Signals:
    """Return the signal that tells rank 0 to finish the running batches; programs that it starts do not see it."""
    name = os.environ.pop(mpiexec.DRAIN_ON, "USR1")
    try:
        return signal.Signals[f"SIG{name}"]
    except KeyError:
        raise LaunchError(
            f"the environment variable {mpiexec.DRAIN_ON}={name} names no signal, such as USR1 or USR2"
        ) from None


def run_under_mpiexec(ranks: int, arguments: Sequence[str], grace_s: float | None = None) -> int:
    """Run `papympi` with these arguments on so many ranks, and return the exit code of rank 0.

    Ctrl-C, SIGTERM or SIGUSR1 once ask it to finish the running batches; a second one ends all ranks at once. After
    `grace_s` from Ctrl-C or SIGTERM on rank 0 is asked to end at once; `None`: it knows by itself.

    Raises:
        LaunchError: there is no mpiexec, or the ranks ended before rank 0 said that all was done.
    """
    from papympi.launchers.search import find_launcher

    launcher = find_launcher()
    local = not mpiexec.has_job(os.environ)
    program = [sys.executable, "-m", "papympi", *arguments]
    argv = mpiexec.command(launcher, ranks, program, local=local, root=os.geteuid() == 0)
    exit_file = _ExitFile(local=local)
    try:
        environment = {**mpiexec.environment(os.environ, local=local), _EXIT_FILE: exit_file.path}
        tidies = launcher.vendor == "Open MPI"  # on SIGTERM it ends the ranks within a second and removes their files
        job = _MpiexecJob(argv, environment, exit_file, signal.SIGTERM if tidies else signal.SIGKILL)
        job.grace_s = grace_s
        with _signals(job.interrupt, {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM}):
            end = job.wait()
        code = exit_file.read_code()
        if job.asked == signal.SIGTERM and code == 128 + signal.SIGINT:
            code = 128 + signal.SIGTERM  # rank 0 was asked by another signal, the one that mpiexec passes on
    finally:
        exit_file.close()
    if job.killed:
        return 128 + job.killed
    if code is None:
        how = f"signal {-end}" if end < 0 else f"exit code {end}"
        raise LaunchError(f"a rank ended too early and took the others with it ({launcher.path} ended with {how})")
    return code


class _ExitFile:
    """The file in which rank 0 says its exit code; where rank 0 is on this host, it removes the name at once.

    Attributes:
        path: its name.
    """

    def __init__(self, *, local: bool) -> None:
        folder = tempfile.mkdtemp(prefix="papympi-", dir=None if local else ".")
        self.path = str(Path(folder).resolve() / (_NAMELESS if local else "exit"))
        self._file = Path(self.path).open("x+", encoding="utf-8")  # noqa: SIM115 - closed by `close`

    def read(self) -> str:
        """Return what rank 0 has said so far."""
        self._file.seek(0)
        return self._file.read()

    def read_code(self) -> int | None:
        """Return the exit code of rank 0, if it came to its end."""
        word = self.read().removeprefix(_READY)
        return int(word) if word else None

    def close(self) -> None:
        """Remove it."""
        self._file.close()
        shutil.rmtree(Path(self.path).parent, ignore_errors=True)


class _MpiexecJob:
    """An mpiexec in a session of its own, so that Ctrl-C reaches it only through this process.

    Attributes:
        killed: the signal that made this process kill it; 0 if none did.
        asked: the signal that made it ask rank 0 to stop; 0 if none did.
        grace_s: so long after Ctrl-C or SIGTERM rank 0 is asked once more, in seconds; `None`: never.

    Args:
        argv: the command.
        environment: what it sees.
        exit_file: where rank 0 says its exit code.
        last: the signal that it gets when this process is killed.
    """

    def __init__(self, argv: Sequence[str], environment: dict[str, str], exit_file: _ExitFile, last: int) -> None:
        from papympi.workers.children.mpi_blocks import kill_tree

        self.killed = self.asked = 0
        self.grace_s: float | None = None
        self._exit_file = exit_file
        self._kill = kill_tree  # a signal handler must not be the first to import it
        try:
            self._process = subprocess.Popen(
                argv,
                env=environment,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, last),  # noqa: PLW1509 - this process has one thread, and nothing else ends the job with it
            )
        except OSError as error:
            raise LaunchError(f"cannot start {argv[0]}: {error}") from error

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        return self._process.wait()

    def interrupt(self, number: int, _frame: FrameType | None) -> None:
        """Ask rank 0 to stop; the second time, or before it can be asked, kill all ranks."""
        if number == signal.SIGALRM:
            self._process.send_signal(signal.SIGUSR1)
            return
        if not self.asked and self._exit_file.read():
            self.asked = number
            self._process.send_signal(signal.SIGUSR1)
            if self.grace_s is not None and number != signal.SIGUSR1:
                signal.setitimer(signal.ITIMER_REAL, max(self.grace_s, 1e-3))
            return
        self.killed = number
        self._kill(self._process.pid)


@contextlib.contextmanager
def _signals(handle: Callable[[int, FrameType | None], None], numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Let `handle` see some signals while the block lasts."""
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_output() -> None:
    """Let descriptor 1 be standard error: launchers put what all ranks write there together, and rank 0 has results."""
    sys.stdout.flush()
    with contextlib.suppress(OSError):  # standard error is closed
        os.dup2(2, 1)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Take a signal that a launcher forwards for Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def _open_exit_file(path: str) -> Iterator[Callable[[str], None]]:
    """Yield what writes into the exit file, if papympi itself has started mpiexec; else what does nothing."""
    if not path:
        yield lambda _: None
        return
    with Path(path).open("a", encoding="utf-8") as file:
        if Path(path).name == _NAMELESS:
            shutil.rmtree(Path(path).parent, ignore_errors=True)

        def say(word: str) -> None:
            file.write(word)
            file.flush()

        yield say
