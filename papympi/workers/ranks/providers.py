"""Keeps MPICH from those ways between hosts on which messages are lost or come in another order.

MPICH may send through libfabric, which offers several providers. It asks which of them can do most, and so prefers
`sockets` and `udp` to `tcp`, which can do less and does that well. The variable FI_PROVIDER says which may be taken.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Final

from papympi.errors import LaunchError

_UNRELIABLE: Final = ("sockets", "udp")
_CHOICE: Final = "FI_PROVIDER"
_OLD_CHOICE: Final = "MPIR_CVAR_OFI_USE_PROVIDER"


def check_choice(environ: Mapping[str, str]) -> None:
    """Raise if an environment has MPICH send through an unreliable provider."""
    for variable in (_CHOICE, _OLD_CHOICE):
        value = environ.get(variable, "")
        asked = [] if value.startswith("^") else _UNRELIABLE
        for provider in asked:
            if provider in _list_names(value):
                raise LaunchError(
                    f"{variable}={value} lets MPICH send messages between hosts through libfabric's provider "
                    f"{provider!r}, which loses them or changes their order; set {_CHOICE}=tcp, or unset {variable} "
                    "so that papympi leaves out only such providers"
                )


@contextlib.contextmanager
def without_unreliable(environ: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Let MPI, if it begins in this block, take any provider but an unreliable one.

    What the user has chosen stays as it is. Nothing is changed for programs that are started later.
    """
    before = environ.get(_CHOICE)
    if not before or before.startswith("^"):
        left_out = [name for name in (before or "")[1:].split(",") if name]
        left_out += [name for name in _UNRELIABLE if name not in _list_names(before or "")]
        environ[_CHOICE] = f"^{','.join(left_out)}"
    try:
        yield
    finally:
        if before is not None:
            environ[_CHOICE] = before
        else:
            environ.pop(_CHOICE, None)


def may_span_hosts(environ: Mapping[str, str]) -> bool:
    """Say whether the ranks of this process's job may be on several hosts; on one they share memory."""
    here = environ.get("MPI_LOCALNRANKS")
    if here is not None:
        return here != environ.get("PMI_SIZE")
    return environ.get("SLURM_STEP_NUM_NODES") != "1"


def _list_names(choice: str) -> list[str]:
    """Return the providers that a choice names; what one is stacked on does not count."""
    return [name.partition(";")[0].strip().lower() for name in choice.removeprefix("^").split(",")]
