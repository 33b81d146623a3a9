"""Which code is the user's own: neither of the standard library, nor installed, nor papympi's.

It stands alone since whoever looks at the user's functions asks it.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Final

_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_PAPYMPI: Final = __file__.removesuffix(os.path.join("model", "users_code.py"))  # noqa: PTH118 - a prefix of other texts
_THEIRS: Final = (os.path.dirname(os.__file__) + os.sep, _PAPYMPI, "<frozen")  # noqa: PTH120 - likewise


def is_users_file(path: str) -> bool:
    """Return whether a file is the user's own."""
    return not path.startswith(_THEIRS) and not any(folder in path for folder in _INSTALLED)


def skip_imports(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without its first frames, in which papympi and Python import a file of the user's."""
    while trace is not None and _imports(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _imports(path: str) -> bool:
    return path.startswith((_PAPYMPI, "<frozen importlib")) or f"{os.sep}importlib{os.sep}" in path
