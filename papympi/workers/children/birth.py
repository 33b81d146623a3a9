"""How a child begins: forked from the server or its template, or in a Python of its own that has loaded nothing."""

from __future__ import annotations

import atexit
import io
import os
import signal
import socket
import sys
from types import FrameType
from typing import Final

from papympi.script.interpreter import list_flags
from papympi.script.leave import leave_script
from papympi.workers.children.child import ChildDescriptors, work
from papympi.workers.host import set_process_name

GIVEN: Final = {"arena": 1, "program": 2, "output": 4, "tracker": 8}
"""The other descriptors of a child, in the order in which they come: `ChildDescriptors`."""
FRESH: Final = 16
"""Added to these: the child becomes a Python of its own, which has loaded nothing."""
CHILD_BOOT: Final = (
    "import sys; numbers = map(int, sys.argv[1].split(',')); sys.path[:] = sys.argv[2:]; del sys.argv[1:];"
    "from papympi.workers.children.birth import begin_child; begin_child(*numbers)"
)
"""What `python -c` runs in a child that has loaded nothing. Arguments: which descriptors it has, these, `sys.path`."""


def stay(_number: int, _frame: FrameType | None) -> None:
    """Let SIGTERM pass by.

    Slurm, systemd and others send it to every process there is, and the runner decides what is finished. It is not
    ignored, as programs that a function starts would then ignore it, too.
    """


def leave() -> None:
    """Let processes that a function forks be as others are."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def begin_anew(*numbers: int) -> None:
    """Put a fresh Python in the place of this process; the descriptors among the numbers stay open."""
    for descriptor in numbers[1:]:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - the library takes it by position
    words = [sys.executable, *list_flags(), "-c", CHILD_BOOT, ",".join(map(str, numbers)), *sys.path]
    os.execv(sys.executable, words)  # noqa: S606 - it is this process that becomes another program


def begin_child(which: int, connection: int, record: int, *files: int) -> None:
    """Be a child in a fresh Python."""
    for descriptor in (connection, record, *files):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - likewise
    signal.signal(signal.SIGTERM, stay)
    os.register_at_fork(after_in_child=leave)
    set_process_name("papympi-worker")
    begin_work(find_given(which, connection, record, *files))


def find_given(which: int, connection: int, record: int, *files: int) -> ChildDescriptors:
    """Return what a child begins with."""
    names = [name for name, number in GIVEN.items() if which & number]
    return ChildDescriptors(socket.socket(fileno=connection), record, **dict(zip(names, files, strict=True)))


def begin_work(given: ChildDescriptors) -> None:
    """Do the work of a child."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what a function prints is seen even if it crashes
    atexit.register(leave_script)  # what functions register comes later, and is called before
    work(given)
