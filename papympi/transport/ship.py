"""Programs to bytes and back: what workers can import travels by name, the rest by value, in modules made there.

Functions and classes of one module keep sharing one namespace, and a class keeps being one class: what plain pickle
sends by reference later finds the same class under the same name. The sending end stands alone, as workers do without.
"""

from __future__ import annotations

import io
import pickle

from papympi.plan.program import Program
from papympi.transport.census import Census
from papympi.transport.loaded import pickle_loaded
from papympi.transport.packed import Packed
from papympi.transport.payload import sort_out
from papympi.transport.pickling import make_pickler


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
