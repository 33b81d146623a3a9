"""Programs reach a fresh interpreter whole, whatever their functions are made of."""

import functools
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from papympi.errors import ShippingError
from papympi.plan.preparation import Preparation
from papympi.plan.program import Argument, Call, Program, ResourceSpec, Stage
from papympi.transport.ship import pack_program
from papympi.transport.unpack import unpack_program


def program_of(*functions, by_value=("__main__",), path=()):
    stages = {
        number: Stage("map", 1, (Call(getattr(f, "__name__", "it"), f, (Argument(0),)),), (1,))
        for number, f in enumerate(functions)
    }
    preparation = Preparation(path=(*map(str, path), *sys.path)) if path else None
    return Program(stages, tuple(by_value), preparation=preparation)


@pytest.fixture
def ship(start_worker):
    """Send functions to a fresh interpreter; return what calls them there."""

    def send(*functions, **options):
        worker = start_worker(pack_program(program_of(*functions, **options)))
        return worker.call

    return send


@pytest.fixture
def ship_from(load_module, ship):
    """Send functions of a module that travels by value; return the module and what calls them."""

    def send(source, *names):
        module = load_module("recipe", source)
        return module, ship(*(getattr(module, name) for name in names), by_value=("__main__", "recipe"))

    return send


def test_importable_goes_by_name(ship):
    """Functions of importable modules travel by name."""
    import math

    assert ship(math.sqrt)(0, 16) == 4
    assert pack_program(program_of(textwrap.dedent, by_value=())).size < 500


def test_every_callable_travels(ship):
    """Lambdas, closures, partials, bound methods and callable objects."""
    offset = 5

    class Adder:
        def __init__(self, n):
            self.n = n

        def __call__(self, x):
            return x + self.n

        def add(self, x):
            return x + self.n

    def closure(x):
        return x + offset

    def recursive(x):
        return 1 if x == 0 else x * recursive(x - 1)

    call = ship(lambda x: x + offset, closure, functools.partial(pow, 2), Adder(5).add, Adder(5), recursive)
    assert [call(i, 3) for i in range(6)] == [8, 8, 8, 8, 8, 6]


def test_globals_come_along(ship_from):
    """Globals come along and are shared."""
    module, call = ship_from(
        """
        import math
        import numpy as np

        counter = 10
        TABLE = np.arange(5)
        NAMES = {"a": [1, 2]}

        def is_even(n):
            return n == 0 or is_odd(n - 1)

        def is_odd(n):
            return n != 0 and is_even(n - 1)

        def count(x):
            global counter
            counter += x
            return counter

        def read(x):
            return counter

        def use(x):
            return math.floor(TABLE.sum() + x), NAMES["a"], is_even(x)
        """,
        "count",
        "read",
        "use",
    )
    assert call(0, 1) == 11
    assert call(0, 1) == 12
    assert call(1, 0) == 12
    assert call(2, 3) == (13, [1, 2], False)
    assert module.counter == 10


def test_class_is_one_on_both_sides(ship_from):
    """A class is one class on both sides."""
    module, call = ship_from(
        """
        from __future__ import annotations
        import abc, enum
        from collections import namedtuple
        from dataclasses import dataclass, field
        from typing import Generic, NamedTuple, TypeVar

        T = TypeVar("T")

        class Base(abc.ABC):
            __slots__ = ()
            registry = []

            def __init_subclass__(cls, *, tag, **options):
                super().__init_subclass__(**options)
                Base.registry.append(tag)

            @abc.abstractmethod
            def area(self): ...

            @property
            def double(self):
                return 2 * self.area()

        class Square(Base, tag="square"):
            __slots__ = ("side",)
            unit: str = "m"

            def __init__(self, side):
                super().__init__()
                self.side = side

            def area(self):
                return self.side ** 2

            @classmethod
            def make(cls, side):
                return cls(side)

            @staticmethod
            def name():
                return __class__.__name__

        @dataclass(order=True)
        class Sample:
            key: int
            values: list = field(default_factory=list)
            kind: Kind = None

        @dataclass(frozen=True, slots=True)
        class Frozen:
            x: int

        class Kind(enum.Enum):
            STAR = "star"
            GALAXY = "galaxy"

            @classmethod
            def _missing_(cls, value):
                return cls.STAR

            def title(self):
                return self.value.title()

        class Planet(enum.Enum):
            EARTH = (5.97e24, 6.37e6)

            def __init__(self, mass, radius):
                self.mass = mass
                self.radius = radius

        class Flags(enum.IntFlag):
            A = 1
            B = 2

        Point = namedtuple("Point", "x y", defaults=[0])

        class Row(NamedTuple):
            a: int
            b: str = "b"

            def both(self):
                return f"{self.a}{self.b}"

        class Box(Generic[T]):
            def __init__(self, item: T):
                self.item = item

        class Trouble(ValueError):
            pass

        class Outer:
            class Inner:
                def __eq__(self, other):
                    return type(self) is type(other)
                __hash__ = None

        class Meta(type):
            def __call__(cls, *args):
                made = super().__call__(*args)
                made.meta = cls.__name__
                return made

        class Made(metaclass=Meta):
            pass

        def check(value):
            square = Square.make(3)
            assert isinstance(square, Base) and square.double == 18 and Square.name() == "Square"
            assert not hasattr(square, "__dict__")
            assert Base.registry == ["square"], Base.registry
            try:
                Base()
            except TypeError:
                pass
            else:
                raise AssertionError("an abstract class was made")
            assert Sample(1) < Sample(2) and Sample(1).values == []
            assert Kind("?") is Kind.STAR and Kind.GALAXY.title() == "Galaxy" and Kind["GALAXY"] is Kind.GALAXY
            assert Planet.EARTH.mass == 5.97e24 and (Flags.A | Flags.B) == 3 and Flags(3) == Flags.A | Flags.B
            assert Point(1) == (1, 0) and Row(1).both() == "1b" and Box[int](3).item == 3
            assert Made().meta == "Made"
            return value

        def kinds(values):
            known = [Square, Sample, Frozen, Kind, Point, Row, Box, Outer.Inner]
            return [isinstance(value, kind) for value, kind in zip(values, known)]

        def make(_):
            made = [Square(2), Sample(1, [2], Kind.STAR), Frozen(3), Kind.GALAXY]
            return made + [Point(1), Row(1), Box(1), Outer.Inner()]

        def refuse(_):
            return Trouble("no")
        """,
        "check",
        "kinds",
        "make",
        "refuse",
    )
    assert call(0, 7) == 7
    assert call(1, module.make(0)) == [True] * 8
    assert module.kinds(call(2, 0)) == [True] * 8
    assert call(2, 0)[1] == module.Sample(1, [2], module.Kind.STAR)
    assert type(call(3, 0)) is module.Trouble


def test_unnamed_classes_come_along(ship_from):
    """Classes that no function names come along."""
    module, call = ship_from(
        """
        SCALE = 3

        class Sample:
            def norm(self):
                return helper(SCALE)

        def helper(x):
            return x * FACTOR

        FACTOR = 2

        def norm(sample):
            return sample.norm()
        """,
        "norm",
    )
    assert call(0, module.Sample()) == 6


def test_unneeded_may_be_huge(ship_from):
    """What nobody needs may be unsendable or huge."""
    _, call = ship_from(
        """
        import sqlite3

        db = sqlite3.connect(":memory:")
        data = bytearray(1 << 26)

        def main():
            return db, len(data)

        def node(x):
            return x.real + 1
        """,
        "node",
    )
    assert call(0, 1) == 2
    module = sys.modules["recipe"]
    assert pack_program(program_of(module.node, by_value=("recipe",))).size < 5000
    module.db.close()


def test_unsendable_global_is_named(load_module):
    module = load_module(
        "recipe",
        """
        import sqlite3

        db = sqlite3.connect(":memory:")
        config = {"paths": ["a"], "db": db}

        def fetch(x):
            return db.execute(x)

        def parse(x):
            return fetch(x)

        def configured(x):
            return config

        def make():
            return lambda x: db
        """,
    )
    try:
        expected = r"node 'parse': global 'db' used by 'fetch' \(sqlite3.Connection\) cannot be sent: .*"
        with pytest.raises(ShippingError, match=expected + "; make it a @resource"):
            pack_program(program_of(module.parse, by_value=["recipe"]))
        with pytest.raises(ShippingError, match=r"item 'db' of global 'config' \(sqlite3.Connection\)"):
            pack_program(program_of(module.configured, by_value=["recipe"]))
    finally:
        module.db.close()


def test_unsendable_cell_is_named():
    """An unsendable closure variable is named."""
    stream = (i for i in range(3))

    def follow(x):
        return next(stream)

    with pytest.raises(ShippingError, match=r"node 'follow': closure variable 'stream' of its function \(generator\)"):
        pack_program(program_of(follow))
    spec = ResourceSpec("feed", lambda: stream)
    call = Call("use", len, (Argument(None, resource=spec),))
    with pytest.raises(ShippingError, match="resource 'feed'"):
        pack_program(Program({0: Stage("map", 0, (call,), (0,))}))


def test_big_array_is_sent_once():
    """A big array in a closure is sent once."""
    table = np.arange(1 << 17)

    def first(x):
        return table[x]

    def second(x):
        return table[-x]

    packed = pack_program(program_of(first, second))
    assert table.nbytes < packed.size < 1.5 * table.nbytes


def test_helpers_come_through_path(ship_from, tmp_path, load_module, ship, monkeypatch):
    """Helpers beside the file are imported through path."""
    (tmp_path / "beside_it.py").write_text("def triple(x):\n    return 3 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = load_module(
        "recipe",
        """
        import beside_it
        from beside_it import triple

        def node(x):
            return triple(x) + beside_it.triple(x)
        """,
    )
    assert ship(module.node, by_value=["recipe"], path=[tmp_path])(0, 2) == 12


def test_module_by_value_is_a_module(load_module, ship):
    """A module that travels by value is known as a module."""
    load_module("tools", "BASE = 4\n\ndef raised(x):\n    return BASE ** x\n")
    module = load_module("recipe", "import tools\n\ndef node(x):\n    return tools.raised(x)\n")
    assert ship(module.node, by_value=["recipe", "tools"])(0, 2) == 16


def test_decorated_and_cached(ship_from):
    """Decorated and cached functions."""
    _, call = ship_from(
        """
        import functools

        def twice(function):
            @functools.wraps(function)
            def wrapper(*args):
                return 2 * function(*args)
            return wrapper

        @twice
        def decorated(x):
            return x + 1

        @functools.lru_cache(maxsize=None)
        def cached(x):
            return x + 1

        @functools.singledispatch
        def generic(x):
            return "other"

        @generic.register
        def _(x: int):
            return "int"

        def use(x):
            return cached(x), generic(x), [i for i in range(x) if cached(i)]
        """,
        "decorated",
        "use",
    )
    assert call(0, 1) == 4
    assert call(1, 1) == (2, "int", [0])


def test_function_without_module(ship):
    names = {"__name__": "nowhere"}
    exec("k = 3\ndef scale(x):\n    return k * other(x)\ndef other(x):\n    return x + k\n", names)
    assert ship(names["scale"])(0, 1) == 12


def test_lambda_values_have_globals(ship_from):
    """Lambdas as values bring their globals."""
    module, call = ship_from(
        """
        import math

        def deep(x):
            return math.floor(x) + LEVEL

        LEVEL = 7
        functions = [lambda x: deep(x)]

        def apply(function):
            return function(1.5)
        """,
        "apply",
    )
    assert call(0, module.functions[0]) == 8


def test_long_chains_of_calls(ship_from):
    """Long chains of functions."""
    source = "def f0(x):\n    return x\n" + "".join(
        f"def f{i}(x):\n    return x if x < 0 else f{i - 1}(x)\n" for i in range(1, 600)
    )
    _, call = ship_from(source + "\ndef node(x):\n    return f599.__name__, f500(-1)\n", "node")
    assert call(0, 1) == ("f599", -1)


def test_parts_come_before_value(ship_from):
    """What a value is made with is there before it."""
    _, call = ship_from(
        """
        FACTOR = 3

        class Unit:
            def __init__(self, size):
                self.size = size

            def __reduce__(self):
                return rebuild, (self.size,)

        def rebuild(size):
            return Unit(size * FACTOR)

        UNIT = Unit(2)

        def node(x):
            return UNIT.size
        """,
        "node",
    )
    assert call(0, 1) == 6


def test_main_needs_no_guard(tmp_path):
    """Functions of main work without a guard."""
    root = Path(__file__).parents[2]
    worker = re.search('_WORKER = """(.*?)"""', (Path(__file__).parent / "conftest.py").read_text(), re.DOTALL)[1]
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import pickle, subprocess, sys
            from dataclasses import dataclass
            sys.path.insert(0, {str(root)!r})
            from papympi.plan.program import Argument, Call, Program, Stage
            from papympi.transport.payload import decode, encode
            from papympi.transport.ship import pack_program

            print("imported")

            @dataclass
            class Item:
                n: int

            class Odd(Exception):
                pass

            LIMIT = 4

            def node(item):
                assert isinstance(item, Item)
                return Item(item.n + LIMIT), Odd("x")

            program = Program({{0: Stage("map", 1, (Call("node", node, (Argument(0),)),), (1,))}})
            worker = subprocess.Popen(
                [sys.executable, "-c", {worker!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd={str(root)!r}
            )
            pickle.dump(pack_program(program), worker.stdin, 5)
            pickle.dump((0, encode([Item(1)])), worker.stdin)
            worker.stdin.close()
            (item, error), = decode(pickle.load(worker.stdout))
            assert item == Item(5) and type(error) is Odd
            print("done")
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("imported\ndone\n", "")


def test_unpacking_twice_extends(load_module, start_worker):
    """Unpacking twice extends the modules."""
    module = load_module("recipe", "A = 1\n\ndef first(x):\n    return A\n\ndef second(x):\n    return A + 1\n")
    packed = pack_program(program_of(module.first, by_value=["recipe"]))
    del sys.modules["recipe"]
    try:
        assert unpack_program(packed).stages[0].calls[0].function(0) == 1
        made = sys.modules["recipe"]
        assert made.first.__globals__ is vars(made)
        unpack_program(packed)
        assert sys.modules["recipe"] is made
    finally:
        sys.modules["recipe"] = module
