"""How a worker's Python is started: with the flags of this one, and with one seed for the hashes of texts."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

HASH_SEED: Final = "PYTHONHASHSEED"
_DEFAULT: Final = "0"


def list_flags() -> list[str]:
    """Return the flags that make another Python behave as this one: `-W`, `-O`, `-X` and the like.

    Not among them are those by which it ignores its environment: `make_environment` leaves out what it would ignore.
    """
    import subprocess  # workers do not need it

    known: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001 - what multiprocessing uses
    flags = [flag for flag in known if flag not in ("-I", "-E")]
    if sys.flags.isolated:
        flags += ["-s", "-P"]
    said = {flag.partition("=")[0] for flag in flags}
    for name, value in sys._xoptions.items():  # noqa: SLF001 - the documented place
        if name not in said:
            flags += ["-X", name if value is True else f"{name}={value}"]
    return flags


def list_variables() -> dict[str, str]:
    """Return environment variables that say the same to a Python whose flags cannot be chosen."""
    flags = {
        HASH_SEED: read_hash_seed(),
        "PYTHONOPTIMIZE": str(sys.flags.optimize or ""),
        "PYTHONWARNINGS": ",".join(sys.warnoptions),
        "PYTHONDEVMODE": "1" if sys.flags.dev_mode else "",
        "PYTHONUTF8": "1" if sys.flags.utf8_mode else "",
    }
    return {name: value for name, value in flags.items() if value}


def make_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the environment of another Python is, so that `hash` of a text is the same in all workers."""
    ignores = bool(sys.flags.ignore_environment)
    kept = {name: value for name, value in environment.items() if not (ignores and name.startswith("PYTHON"))}
    return kept | {HASH_SEED: read_hash_seed(kept)}


def read_hash_seed(environment: Mapping[str, str] = os.environ) -> str:
    """Return the seed of the hashes in all workers: the one that the environment names, else always the same."""
    said = environment.get(HASH_SEED, "")
    return said if said.isdecimal() else _DEFAULT
