"""The command's first step: hashes of texts in the runner are to be those of the workers, which Python must be told.

It stands alone because it runs before anything is imported that takes its time.
"""

from __future__ import annotations

import os
import sys
from typing import Final

_HASH_SEED: Final = "PYTHONHASHSEED"
_FIRST_WORDS: Final = 4


def main() -> int:
    """Run the command line and return its exit code; `run` begins anew with one seed for hashes, if it has none."""
    if "run" in sys.argv[1:_FIRST_WORDS] and _is_random():
        os.environ[_HASH_SEED] = "0"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - it becomes itself
    from papympi.cli.main import main as run_command

    return run_command()


def _is_random() -> bool:
    """Return whether hashes are those of this process alone, and need not be."""
    said = os.environ.get(_HASH_SEED, "")
    return bool(sys.executable and not said.isdecimal() and not sys.flags.ignore_environment and not sys.gettrace())
