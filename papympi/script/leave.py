"""Lets go of the user's script at the end of a worker, as the interpreter does at its own end, but before.

When the interpreter takes modules away, those that closing a file needs may be gone before the script's are, and what
was forked does not even count as garbage.
"""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import sys
from types import FunctionType, ModuleType
from typing import Any, Final

from papympi.model.module_graph import forget_graphs
from papympi.model.users_code import is_users_file
from papympi.transport.sentinels import is_users

_OURS: Final = "papympi"
_KEPT: Final = (ModuleType, FunctionType, type, int)
"""What a library's process needs to come to its end."""
_WRITERS: Final = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def leave_script() -> None:
    """Clear the user's modules: what they hold open is closed."""
    gc.unfreeze()
    logging.shutdown()  # it was registered before, and would come too late
    forget_graphs()
    for name, module in reversed(sys.modules.copy().items()):
        if is_users(module) and name.split(".")[0][:7] != _OURS:
            _clear(vars(module), _KEPT if _is_executors(module) else ())
    flush_files()
    gc.collect()
    gc.freeze()  # the interpreter would look through everything twice more


def _is_executors(module: ModuleType) -> bool:
    """Return whether a module is the main one of a process that belongs to a library."""
    path = getattr(module, "__file__", None)
    return isinstance(path, str) and not is_users_file(path)


def flush_files() -> None:
    """Write what is in the buffers of files that are open here."""
    for value in gc.get_objects():
        if type(value) in _WRITERS:
            with contextlib.suppress(OSError, ValueError):
                value.flush()


def _clear(names: dict[str, Any], kept: tuple[type, ...] = ()) -> None:
    """Let go of the globals of a module, private ones first, but for those of some types."""
    for private in (True, False):
        for name in [name for name in names if name.startswith("_") == private and not name.startswith("__")]:
            if not isinstance(names[name], kept):
                names[name] = None
