"""The context variables of the caller, on their way to workers.

A variable is found again by the name of a global, in a module that the worker has or comes to have. Those of decimal,
NumPy and papympi are not among them: they are no settings, or have a row of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextvars import ContextVar, copy_context
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from papympi.errors import ShippingError
from papympi.model.telling import describe_kind
from papympi.script.imports import when_loaded
from papympi.transport.payload import Payload

if TYPE_CHECKING:
    from papympi.script.reach import Use  # workers do without

_OWN_ROWS: Final = frozenset({"decimal_context", "numpy.ufunc.extobj", "format_options", "papympi_here"})


class _SentVariable(NamedTuple):
    """The module and the name under which a variable is found, and its value, pickled."""

    module: str
    name: str
    value: Payload


def read_variables() -> list[_SentVariable]:
    """Return what the context variables of the caller hold, as far as that can be sent."""
    values = {variable: value for variable, value in copy_context().items() if variable.name not in _OWN_ROWS}
    found = []
    for variable, module, name in _find_places(values) if values else ():
        payload = Payload([values[variable]])
        if _find_refusal(payload) is None:
            found.append(_SentVariable(module, name, payload))
    return found


def set_variables(sent: list[_SentVariable]) -> None:
    """Let the variables hold in this context what they held at the caller, now or once their modules are loaded."""
    for each in sent:
        when_loaded(each.module, f"context variable {each.name!r}", partial(_set, each))


def check_variables(uses: Iterable[Use]) -> None:
    """Refuse functions that need a context variable whose value cannot be sent.

    Raises:
        ShippingError: names the node, the variable and what it holds.
    """
    context = copy_context()
    for use in uses:
        if isinstance(use.value, ContextVar) and use.value in context:
            value = context[use.value]
            refusal = _find_refusal(Payload([value]))
            if refusal is not None:
                raise ShippingError(
                    f"{use.user}: context variable {use.name!r} holds a value ({describe_kind(value)}) that cannot be "
                    f"sent: {refusal}; set it in a @papympi.setup"
                ) from refusal


def _set(sent: _SentVariable) -> None:
    variable = vars(sys.modules[sent.module]).get(sent.name)
    if isinstance(variable, ContextVar):
        variable.set(sent.value.values()[0])


def _find_places(wanted: Iterable[ContextVar[Any]]) -> Iterator[tuple[ContextVar[Any], str, str]]:
    """Yield where some variables are among the globals of modules, once each."""
    left = set(wanted)
    modules: list[tuple[str, Any]] = list(sys.modules.items())  # what is not a module may be among them
    for module_name, module in modules:
        if not left:
            return
        for name, value in list(vars(module).items()) if isinstance(module, ModuleType) else ():
            if isinstance(value, ContextVar) and value in left:
                left.discard(value)
                yield value, module_name, name


def _find_refusal(payload: Payload) -> ShippingError | None:
    """Return why values cannot be sent; `None`: they can."""
    try:
        payload.encode()
    except ShippingError as error:
        return error
    return None
