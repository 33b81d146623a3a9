"""Plain objects that are globals keep being the ones that they are; others are copied as ever."""

import copy
import pickle
import sys
import types

import pytest

from papympi.transport.payload import decode, encode
from papympi.transport.sentinels import find_place, is_users

MISSING = object()


@pytest.fixture
def module():
    module = sys.modules["papympi_test_sentinels"] = types.ModuleType("papympi_test_sentinels")
    module.NOTHING = object()
    yield module
    del sys.modules["papympi_test_sentinels"]


def test_a_sentinel_arrives_as_it_is(module):
    values = [MISSING, {"deep": (module.NOTHING, 1)}]
    first, second = decode(encode(values))
    assert first is MISSING
    assert second["deep"][0] is module.NOTHING


def test_other_plain_objects_are_copied():
    there = decode(encode([object()]))[0]
    assert type(there) is object


def test_a_pickle_needs_no_papympi():
    assert b"papympi.transport" not in pickle.dumps(MISSING)


def test_copies_are_as_before():
    local = object()
    assert copy.deepcopy([local])[0] is not local


def test_a_sentinel_may_get_another_name(module):
    assert find_place(module.NOTHING, [module.__name__]) == (module.__name__, "NOTHING")
    module.OTHER = module.NOTHING
    del module.NOTHING
    assert find_place(module.OTHER, [module.__name__]) == (module.__name__, "OTHER")


def test_the_main_module_has_one_name(module, monkeypatch):
    """Notebooks and children of multiprocessing call it `__mp_main__` as well."""
    monkeypatch.setitem(sys.modules, "__main__", module)
    monkeypatch.setitem(sys.modules, "__mp_main__", module)
    assert find_place(module.NOTHING, ["__main__", "__mp_main__"]) == ("__main__", "NOTHING")


def test_the_main_module_comes_last(module):
    main = sys.modules["__main__"]
    main.papympi_test = module.NOTHING
    try:
        assert find_place(module.NOTHING, ["__main__", module.__name__]) == (module.__name__, "NOTHING")
    finally:
        del main.papympi_test


@pytest.mark.parametrize(("name", "expected"), [("__main__", True), ("json", False), ("pytest", False), ("sys", False)])
def test_users_modules_are_told_apart(name, expected):
    assert is_users(sys.modules[name]) is expected
