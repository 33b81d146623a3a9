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
from typing import Any, Final

from papympi.model.module_graph import forget_graphs
from papympi.transport.sentinels import is_users

_OURS: Final = "papympi"
_WRITERS: Final = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def leave_script() -> None:
    """Clear the user's modules: what they hold open is closed."""
    gc.unfreeze()
    logging.shutdown()  # it was registered before, and would come too late
    forget_graphs()
    modules = [module for name, module in sys.modules.items() if is_users(module) and name.split(".")[0][:7] != _OURS]
    for module in reversed(modules):
        _clear(vars(module))
    flush_files()
    gc.collect()
    gc.freeze()  # the interpreter would look through everything twice more


def flush_files() -> None:
    """Write what is in the buffers of files that are open here."""
    for value in gc.get_objects():
        if type(value) in _WRITERS:
            with contextlib.suppress(OSError, ValueError):
                value.flush()


def _clear(names: dict[str, Any]) -> None:
    """Let go of the globals of a module, private ones first."""
    for private in (True, False):
        for name in [name for name in names if name.startswith("_") == private and not name.startswith("__")]:
            names[name] = None
