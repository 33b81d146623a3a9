"""The state of the user's program that holds in every worker: read when a run begins, set where its functions run.

It is read in the thread and context of whoever asks for the first result, and set once in each worker process, after
the program's modules are there. What belongs to a thread or a context is set in each thread that calls functions.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Mapping
from contextvars import Context, copy_context
from functools import partial
from typing import Final

from papympi.errors import PapympiWarning, ShippingError
from papympi.plan.program import Program
from papympi.script import libraries, settings
from papympi.script.imports import when_loaded
from papympi.script.settings import Setting
from papympi.script.variables import check_variables, read_variables, set_variables
from papympi.transport.payload import Payload

_VARIABLES: Final = Setting("context variables", "contextvars", read_variables, set_variables, local=True)
SETTINGS: Final = (*settings.SETTINGS, *libraries.SETTINGS, _VARIABLES)
_GENERATORS: Final = "random number generators"
_SEEDED: Final = ("random", "numpy.random", "torch")
"""Modules with a generator of their own, which `seed()` begins anew."""


def read_state(program: Program) -> dict[str, Payload]:
    """Return the settings of this process and of the caller's context, by name, for other processes.

    Raises:
        ShippingError: a function of the program needs something of it that cannot be sent.
    """
    from papympi.script.generators import pick_generators  # workers seldom need it
    from papympi.script.reach import list_uses

    uses = list_uses(program)
    for some in uses:
        check_variables(some)
    state = {_GENERATORS: Payload([any(True for _ in pick_generators(uses))])}
    for setting in SETTINGS:
        if setting.module in sys.modules:
            payload = Payload([setting.read()])
            try:
                payload.encode()
            except ShippingError as error:
                warnings.warn(
                    f"{setting.name}: workers do without it, as it cannot be sent: {error}; set it in a @papympi.setup",
                    PapympiWarning,
                    stacklevel=2,
                )
            else:
                state[setting.name] = payload
    return state


def apply_state(program: Program, *, whole: bool = True) -> None:
    """Let the settings of a program hold here, once its modules are there.

    Args:
        program: has been unpacked.
        whole: for all of this process; else only for this thread and context.

    Raises:
        ShippingError: a setting is impossible on this host.
    """
    state: Mapping[str, Payload] = program.state
    for setting in SETTINGS:
        payload = state.get(setting.name)
        if payload is not None and (whole or setting.local):
            when_loaded(setting.module, setting.name, partial(_set, setting, payload))
    if whole:
        _renew_generators(program)


def _renew_generators(program: Program) -> None:
    """Let the random generators of this process begin anew: others may have copies of them."""
    for name in _SEEDED:
        if name in sys.modules:
            with contextlib.suppress(TypeError):  # NumPy's was replaced by one that cannot be seeded
                sys.modules[name].seed()
    if _GENERATORS in program.state and program.state[_GENERATORS].values()[0]:
        from papympi.script.generators import renew_used

        renew_used(program)


def _set(setting: Setting, payload: Payload) -> None:
    setting.set(payload.values()[0])


class CallerContext:
    """What threads of this process take over of the thread that makes it: its context variables and settings."""

    def __init__(self) -> None:
        self._context = copy_context()
        own = [each for each in SETTINGS if each.local and each.module in sys.modules and each is not _VARIABLES]
        self._settings = [(each, each.read()) for each in own]

    def copy(self) -> Context:
        """Return a context for the calling thread; its settings are its own, and not the caller's."""
        context = self._context.copy()
        context.run(self._apply)
        return context

    def _apply(self) -> None:
        for setting, value in self._settings:
            setting.set(value)
