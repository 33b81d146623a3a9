"""The receiving end of what travels by value: functions are made empty and filled afterwards."""

import marshal
import sys
import types

import pytest

from papympi.errors import ShippingError
from papympi.transport import rebuild


@pytest.fixture
def name():
    """The name of a module that is nowhere."""
    yield "papympi_test_module"
    sys.modules.pop("papympi_test_module", None)


def make(function, namespace=None):
    """The function made anew, to be filled."""
    cells = tuple(rebuild.make_cell() for _ in function.__closure__ or ())
    return rebuild.make_function(function.__code__, namespace or rebuild.make_namespace("m"), cells)


def fill(function, **state):
    rebuild.fill_function(function, {"cells": [], "attributes": {}, "globals": {}, "submodules": ()} | state)


def test_an_importable_module_is_imported():
    assert rebuild.get_module("json", by_value=False) is sys.modules["json"]


def test_a_missing_module_is_an_error(name):
    with pytest.raises(ModuleNotFoundError):
        rebuild.get_module(name, by_value=False)


def test_a_sent_module_is_made_once(name):
    module = rebuild.get_module(name, by_value=True)
    assert rebuild.get_module(name, by_value=True) is module is sys.modules[name]


def test_a_sent_module_knows_builtins(name):
    namespace = rebuild.get_namespace(name, by_value=True)
    assert eval("len('abc')", namespace) == 3
    assert sys.modules[name].__dict__ is namespace


def test_a_namespace_may_have_no_module(name):
    namespace = rebuild.make_namespace(name)
    assert namespace["__name__"] == name
    assert name not in sys.modules


def test_code_comes_out_of_its_bytes():
    code = compile("1 + 2", "x", "eval")
    assert eval(rebuild.make_code(marshal.dumps(code))) == 3


def test_a_filled_function_can_be_called():
    made = make(lambda x, y=0: x + y)
    fill(made, __defaults__=(5,), attributes={"unit": "m"}, __name__="add")
    assert (made(1), made.unit, made.__name__) == (6, "m", "add")


def test_globals_do_not_replace_others():
    namespace = rebuild.make_namespace("m") | {"a": 1}
    made = make(lambda: (a, b), namespace)  # noqa: F821 -- they are in the namespace
    fill(made, globals={"a": 10, "b": 2})
    assert made() == (1, 2)


def test_a_function_may_refer_to_itself():
    def count(n):
        return 0 if n == 0 else 1 + count(n - 1)

    made = make(count)
    fill(made, cells=[(made.__closure__[0], made)])
    assert made(5) == 5
    assert made.__closure__[0].cell_contents is made


def test_an_empty_cell_stays_empty():
    with pytest.raises(ValueError, match="empty"):
        _ = rebuild.make_cell().cell_contents


def test_a_made_function_is_a_function():
    assert type(make(lambda: None)) is types.FunctionType


def test_submodules_are_imported():
    made = make(lambda: 1)
    sys.modules.pop("xml.sax.saxutils", None)
    fill(made, submodules=("xml.sax.saxutils",))
    assert "xml.sax.saxutils" in sys.modules


def test_an_offer_is_made_when_asked_for(name):
    made = []
    rebuild.offer(name, "a", lambda: made.append(1) or 5)
    assert made == []
    assert sys.modules[name].a == 5
    rebuild.take_offer(name, "a")
    assert made == [1]


def test_an_offer_may_need_another(name):
    rebuild.offer(name, "a", lambda: rebuild.get_global(name, "b") + 1)
    rebuild.offer(name, "b", lambda: 2)
    rebuild.take_offer(name, "a")
    assert (sys.modules[name].a, sys.modules[name].b) == (3, 2)


def test_a_failed_offer_says_why(name):
    rebuild.offer(name, "a", lambda: 1 / 0)
    with pytest.raises(ShippingError, match="ZeroDivisionError"):
        rebuild.take_offer(name, "a")
    for _ in range(2):
        with pytest.raises(ShippingError, match=f"'a' of '{name}' is not here: .*ZeroDivisionError"):
            _ = sys.modules[name].a


def test_what_was_left_out_says_why(name):
    rebuild.offer(name, "a", "it is too big")
    with pytest.raises(ShippingError, match="too big"):
        _ = sys.modules[name].a
    with pytest.raises(AttributeError):
        _ = sys.modules[name].b


def test_a_new_offer_replaces_the_old(name):
    for value in (1, 2):
        rebuild.offer(name, "a", lambda value=value: value)
        rebuild.take_offer(name, "a")
    assert sys.modules[name].a == 2


def test_a_half_made_global_is_in_place(name):
    seen = []

    def load():
        made = rebuild.make_placed(name, "a", list, ())
        seen.append(rebuild.get_global(name, "a") is made)
        return made

    rebuild.offer(name, "a", load)
    rebuild.take_offer(name, "a")
    assert seen == [True]
