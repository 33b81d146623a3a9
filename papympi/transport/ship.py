"""Programs to bytes and back: what workers can import travels by name, the rest by value, in modules made there.

Functions and classes of one module keep sharing one namespace, and a class keeps being one class: what plain pickle
sends by reference later finds the same class under the same name.
"""

from __future__ import annotations

import contextlib
import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from papympi.errors import ShippingError
from papympi.plan.preparation import Preparation
from papympi.plan.program import Program
from papympi.transport.census import Census, Offer
from papympi.transport.loaded import pickle_loaded
from papympi.transport.packed import Packed
from papympi.transport.payload import Buffer, sort_out
from papympi.transport.pickling import make_pickler
from papympi.transport.rebuild import offer, take_offer


def pack_program(program: Program) -> Packed:
    """Return the program with everything that its functions use; their big buffers are not copied.

    Raises:
        ShippingError: something cannot be sent; names the node and the object.
    """
    census = Census(frozenset(program.by_value), program.preparation)
    needed = census.find_needed(program)[::-1]  # what was found last is used by what was found first
    file = io.BytesIO()
    buffers: list[memoryview] = []
    pickler = make_pickler(file, census.reducer, sort_out(buffers))
    for entry in needed:
        pickler.dump((entry.namespace, entry.name, entry.value))
    pickler.dump((program.stages, program.setups))
    labels = [f"{entry.user}: {entry.what}" for entry in needed]
    offers = census.find_offers(needed, buffers)[::-1]
    loaded = pickle_loaded(census.reach, {(entry.namespace.name, entry.name) for entry in needed}, buffers)
    head = program.by_value, program.preparation, program.seed, program.state
    return Packed(pickle.dumps((head, labels, offers, loaded, file.getvalue()), 5), buffers)


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
        kind = type(error).__name__
        text = f"{label} has arrived, but cannot be made in the worker: {kind}: {error}; make it a @resource"
        raise ShippingError(text) from error
