"""Which code is the user's own: neither of the standard library, nor installed, nor papympi's.

It stands alone since whoever looks at the user's functions asks it.
"""

from __future__ import annotations

import os
from typing import Final

INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
"""Files that have one of these in their path were installed."""
OWN: Final = __file__.removesuffix(os.path.join("model", "users_code.py"))  # noqa: PTH118 - a prefix of other texts
"""Files that begin so are papympi's."""
INTERPRETER: Final = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120 - likewise
"""Files that begin so are of the standard library, or were installed."""
_THEIRS: Final = (INTERPRETER, OWN, "<frozen")


def is_users_file(path: str) -> bool:
    """Return whether a file is the user's own."""
    return not path.startswith(_THEIRS) and not any(folder in path for folder in INSTALLED)
