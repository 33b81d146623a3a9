"""The sending end of what travels by value: what is found there goes by name, everything else in parts."""

import enum
import io
import pickle
import sys
import types
from typing import TypeVar

import pytest

from papympi.errors import ShippingError
from papympi.transport.classes import identify
from papympi.transport.pickling import Reducer, dump, make_pickler

FACTOR = 3
T = TypeVar("T")


def scale(x):
    return FACTOR * x


class Thing:
    pass


def send(value, reducer=None, keep=None):
    """The value and what was pickled of it."""
    file = io.BytesIO()
    dump(make_pickler(file, reducer or Reducer(), keep), value)
    return file.getvalue()


def copy(value, reducer=None):
    return pickle.loads(send(value, reducer))


@pytest.fixture
def module():
    """A module that no other process can import."""
    module = sys.modules["papympi_test_sent"] = types.ModuleType("papympi_test_sent")
    exec("limit = 5\ndef f(x):\n    return min(x, limit)\nclass C:\n    x = 1\n", vars(module))
    yield module
    del sys.modules["papympi_test_sent"]


@pytest.mark.parametrize("value", [scale, Thing, len, dict, T, sys])
def test_what_is_found_goes_by_name(value):
    assert copy(value) is value
    assert len(send(value)) < 200


def test_a_lambda_goes_in_parts():
    assert copy(lambda x: x + 1)(1) == 2


def test_a_closure_brings_what_it_holds():
    held = [1]
    arrived = copy(lambda: held)
    assert arrived() == [1]
    assert arrived() is not held


def test_a_local_class_goes_in_parts():
    class Local:
        __slots__ = ("x",)
        kind = "local"

        def double(self):
            return 2 * self.x

    data = send(Local)
    token = identify(Local)
    assert pickle.loads(data) is Local
    arrived = pickle.loads(data.replace(token, bytes(16)))
    made = arrived()
    made.x = 4
    assert arrived is not Local
    assert (made.double(), made.kind) == (8, "local")
    with pytest.raises(AttributeError):
        made.y = 1


def test_a_local_enumeration_goes_in_parts():
    class Colour(enum.Enum):
        RED = 1
        CRIMSON = 1  # noqa: PIE796 - an alias is what this is about

        def is_warm(self):
            return True

    arrived = copy(Colour)
    assert arrived.CRIMSON is arrived.RED
    assert arrived.RED.is_warm()


def test_two_functions_share_their_cell():
    count = 0

    def add():
        nonlocal count
        count += 1

    def read():
        return count

    there_add, there_read = copy((add, read))
    there_add()
    assert (there_read(), read()) == (1, 0)


def test_globals_used_come_along(module):
    del sys.modules["papympi_test_sent"]
    arrived = copy(module.f)
    sys.modules["papympi_test_sent"] = module
    assert arrived(9) == 5
    assert "C" not in arrived.__globals__


def test_by_value_overrules_the_name(module):
    found, parts = Reducer(), Reducer(frozenset({"papympi_test_sent"}))
    assert len(send(module.C, found)) < 200 < len(send(module.C, parts))
    assert copy(module.C, parts) is module.C


def test_functions_in_parts_are_told():
    seen = []
    send([scale, local := lambda: 1], Reducer(seen=seen.append))
    assert seen == [local]


def test_one_namespace_stands_for_globals():
    reducer = Reducer()
    namespace = reducer.namespace_of(scale)
    assert namespace is reducer.namespace_at(globals())
    assert (namespace.names is globals(), namespace.is_sent) == (True, False)


def test_globals_without_a_module_are_sent():
    function = eval("lambda: 1", {"__name__": "nowhere"})
    namespace = Reducer().namespace_of(function)
    assert (namespace.name, namespace.is_sent) == ("", True)


def test_big_buffers_may_stay_outside():
    kept = []
    data = pickle.PickleBuffer(bytearray(100_000))
    assert len(send(data, keep=kept.append)) < 100
    assert [len(buffer.raw()) for buffer in kept] == [100_000]


def test_what_cannot_be_pickled_is_told():
    with pytest.raises(ShippingError, match="TypeError.*generator"):
        send(i for i in "x")


def test_no_name_is_imported(tmp_path, monkeypatch):
    """Neither of a function, nor of what a dict has under "__name__"."""
    (tmp_path / "papympi_test_bomb.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)

    def papympi_test_bomb():
        pass

    papympi_test_bomb.__qualname__ = "papympi_test_bomb"
    assert copy([papympi_test_bomb, {"__name__": "papympi_test_bomb"}])[1] == {"__name__": "papympi_test_bomb"}


def test_globals_as_a_value_go_by_name():
    assert copy([globals()])[0] is globals()


def test_offered_globals_go_by_place(module):
    reducer = Reducer(frozenset({"papympi_test_sent"}))
    reducer.placed[id(module.C)] = ("papympi_test_sent", "C")
    assert len(send([module.C], reducer)) < 200
    assert copy([module.C], reducer)[0] is module.C


def test_a_name_that_leads_nowhere_is_told():
    value = type("Ghost", (bytes,), {"__reduce__": lambda self: "ghost", "__module__": __name__})()
    with pytest.raises(ShippingError, match="'ghost' is known by its name only.*put it into a module"):
        send(value)


def test_ufuncs_go_by_name():
    import numpy as np

    assert copy([np.sin, np.add.reduce])[0] is np.sin


def test_several_empty_buffers():
    """Arrays without items, or of one byte, share their bytes within Python, and arrive all the same."""
    import io

    import numpy as np

    arrays = [np.zeros(0), np.zeros((0, 3)), np.zeros(1, "u1"), np.zeros(1, "u1")]
    for array in arrays:
        array.flags.writeable = False
    file = io.BytesIO()
    make_pickler(file, Reducer()).dump([arrays, lambda: None])
    found, _ = pickle.loads(file.getvalue())
    assert [array.shape for array in found] == [(0,), (0, 3), (1,), (1,)]
