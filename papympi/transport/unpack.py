"""The receiving end of programs: what travelled is put into its modules, each thing that was only offered by itself.

It stands apart from the sending end, since workers need nothing of that.
"""

from __future__ import annotations

import contextlib
import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from papympi.errors import ShippingError
from papympi.model.telling import tell_error
from papympi.plan.preparation import Preparation
from papympi.plan.program import Program
from papympi.transport.packed import Packed
from papympi.transport.payload import Buffer
from papympi.transport.rebuild import offer, take_offer
from papympi.transport.received import LoadedData


class Offer(NamedTuple):
    """A global that is sent in case that somebody asks for it.

    Attributes:
        module: where it is.
        name: what it is called there.
        body: its pickle, or why it is not sent.
        start: of its buffers, among those of the program.
        stop: their end.
    """

    module: str
    name: str
    body: bytes | str
    start: int = 0
    stop: int = 0


def _leave_alone(_preparation: Preparation) -> None:
    """Prepare nothing."""


def unpack_program(packed: Packed, prepare: Callable[[Preparation], None] = _leave_alone) -> Program:
    """Return the program, its functions ready to be called; what travelled by value is put into its modules.

    The packed buffers become parts of what the functions refer to. The state is yet to be set, by `script.state`.

    Args:
        packed: the program.
        prepare: called first: does what the functions need to be found.

    Raises:
        ShippingError: what the functions need cannot be made here; names it.
    """
    head, labels, offers, loaded, body = pickle.loads(packed.body)
    by_value, preparation, seed, state = head
    assert isinstance(loaded, LoadedData)
    if preparation is not None:
        prepare(preparation)
    for each in offers:
        load = each.body if isinstance(each.body, str) else partial(_load_offer, each, packed.buffers)
        offer(each.module, each.name, load)
    unpickler = pickle.Unpickler(io.BytesIO(body), buffers=packed.buffers)
    for label in labels:
        with _making(label):
            names, name, value = unpickler.load()
            names[name] = value
    with _making("what the script's modules hold"):
        loaded.apply(packed.buffers)
    with _making("the program"):
        stages, setups = unpickler.load()
    for each in offers:
        with contextlib.suppress(ShippingError):
            take_offer(each.module, each.name)
    return Program(stages, by_value, seed=seed, setups=setups, state=state, preparation=preparation)


def _load_offer(given: Offer, buffers: Sequence[Buffer]) -> Any:
    assert isinstance(given.body, bytes)
    return pickle.Unpickler(io.BytesIO(given.body), buffers=buffers[given.start : given.stop]).load()


@contextlib.contextmanager
def _making(label: str) -> Iterator[None]:
    """Say what could not be made."""
    try:
        yield
    except Exception as error:
        text = f"{label} has arrived, but cannot be made in the worker: {tell_error(error)}; make it a @resource"
        raise ShippingError(text) from error
