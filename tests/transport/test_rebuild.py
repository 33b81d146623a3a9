"""The receiving end of what travels by value: functions and classes are made empty and filled afterwards."""

import abc
import enum
import marshal
import sys
import types

import pytest

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
    rebuild.fill_function(function, {"cells": [], "attributes": {}, "globals": {}} | state)


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


def test_a_class_is_filled():
    made = rebuild.make_class(type, "Thing", (), {"__module__": "m"})
    rebuild.fill_class(made, {"size": 3, "double": lambda self: 2 * self.size})
    assert (made().double(), made.__name__, made.__module__) == (6, "Thing", "m")


def test_no_hook_is_called_again():
    calls = []

    class Base:
        def __init_subclass__(cls, **options):
            calls.append(cls)

    rebuild.make_class(type, "Child", (Base,), {})
    assert calls == []
    type("Other", (Base,), {})
    assert len(calls) == 1


def test_no_metaclass_is_called_again():
    calls = []

    class Meta(type):
        def __new__(cls, *args):
            calls.append(args)
            return super().__new__(cls, *args)

    assert type(rebuild.make_class(Meta, "Thing", (), {})) is Meta
    assert calls == []


def test_an_abstract_class_stays_abstract():
    made = rebuild.make_class(abc.ABCMeta, "Thing", (), {"go": abc.abstractmethod(lambda self: None)})
    with pytest.raises(TypeError, match="abstract"):
        made()


def test_an_enumeration_has_its_members():
    made = rebuild.make_enum(enum.EnumMeta, "Colour", (enum.Enum,), {"RED": 1, "CRIMSON": 1, "BLUE": 2}, {})
    rebuild.fill_enum(made, ({"warm": lambda self: self is made.RED}, {"BLUE": {"note": "cold"}}))
    assert [member.name for member in made] == ["RED", "BLUE"]
    assert made.CRIMSON is made.RED
    assert made.RED.warm()
    assert made.BLUE.note == "cold"


def test_flags_keep_their_boundary():
    made = rebuild.make_enum(enum.EnumMeta, "Right", (enum.Flag,), {"READ": 1}, {"boundary": enum.KEEP})
    assert made(5).value == 5


def test_a_type_variable_is_made():
    made = rebuild.make_type_variable("T", (int, str), {"covariant": True})
    assert (made.__name__, made.__constraints__, made.__covariant__) == ("T", (int, str), True)


def test_a_made_function_is_a_function():
    assert type(make(lambda: None)) is types.FunctionType
