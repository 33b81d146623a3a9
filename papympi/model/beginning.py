"""What this process had when papympi was imported: a script may change it, and workers load the script as it was.

It stands alone because it is there to be imported early.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final

ARGUMENTS: Final = tuple(getattr(sys, "argv", ()))
"""`sys.argv` at that time."""


def _find_folder() -> str:
    with contextlib.suppress(OSError):
        return os.getcwd()  # noqa: PTH109 - pathlib would have to be imported
    return ""


FOLDER: Final = _find_folder()
"""The working folder at that time; "" if there was none."""
