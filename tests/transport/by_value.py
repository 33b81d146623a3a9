"""A script without a guard, with all that travels by value; says what of it is not right in the workers.

Run it with the name of a pool.
"""

import abc
import collections
import collections.abc
import contextvars
import dataclasses
import enum
import functools
import logging
import queue
import re
import sys
import threading
import typing
import weakref
import xml.etree.ElementTree
from typing import Generic, NamedTuple, NewType, ParamSpec, Protocol, TypeVar

import numpy as np

import papympi
from papympi import Graph, run

RunId = NewType("RunId", int)
Label = NewType("Label", RunId)
T = TypeVar("T", bound=int)
P = ParamSpec("P")
MISSING = object()
UNSET = object()
LOCK = threading.Lock()
LOCK.acquire()
RLOCK = threading.RLock()
RLOCK.acquire()
CONDITION = threading.Condition()
CONDITION.acquire()
EVENT = threading.Event()
SEMAPHORE = threading.Semaphore(1)
SEMAPHORE.acquire()
BOUNDED = threading.BoundedSemaphore(2)
BOUNDED.acquire()
BARRIER = threading.Barrier(1)
QUEUE = queue.Queue()
QUEUE.put(5)
STACK = queue.LifoQueue()
VARIABLE = contextvars.ContextVar("VARIABLE", default=7)
LOCALS = threading.local()
PATTERN = re.compile("a+")
LOGGER = logging.getLogger("by_value.logger")
HANDLER = logging.StreamHandler()
FILE = sys.argv[2]
np.arange(100_000.0).tofile(FILE)
MAPPED = np.memmap(FILE, dtype="f8", mode="r")
PART = MAPPED[10:100:3]


class Shape(abc.ABC):
    """Has one that is registered."""

    @abc.abstractmethod
    def area(self):
        """Return a number."""


class Round:
    pass


class Row:
    pass


Shape.register(Round)
collections.abc.Sequence.register(Row)


class Coordinate(bytes, enum.Enum):
    def __new__(cls, number, label):
        made = bytes.__new__(cls, [number])
        made._value_ = number
        made.label = label
        return made

    X = (1, "x")
    Y = (2, "y")


class Operation(enum.Enum):
    DOUBLE = enum.member(lambda x: 2 * x)


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 9

    @classmethod
    def _missing_(cls, value):
        return cls.LOW


class Spectrum:
    def __init__(self, counts):
        self.counts = counts
        self.lock = threading.RLock()

    @functools.cached_property
    def mean(self):
        return sum(self.counts) / len(self.counts)

    def add(self, a, b=1):
        return a + b

    add_five = functools.partialmethod(add, 5)

    @functools.singledispatchmethod
    def kind(self, _value):
        return "other"

    @kind.register
    def _(self, _value: int):
        return "int"


class Named:
    def __set_name__(self, owner, name):
        self.name = name
        owner.names = [*getattr(owner, "names", ()), name]

    def __get__(self, instance, owner=None):
        return self.name


class HasNamed:
    first = Named()
    second = Named()


class Plugin:
    known: typing.ClassVar = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        Plugin.known[cls.__name__] = cls


class Fast(Plugin):
    pass


class Node:
    __slots__ = ("__weakref__", "_x", "left")

    def __init__(self, left=None):
        self.left = left


class Below(Round):
    def name(self):
        super().__init__()
        return __class__.__name__


@dataclasses.dataclass(slots=True, frozen=True, kw_only=True)
class Record:
    a: int
    b: list = dataclasses.field(default_factory=list)


class OwnProperty(property):
    pass


class HasProperty:
    @OwnProperty
    def three(self):
        return 3


@typing.runtime_checkable
class HasArea(Protocol):
    def area(self) -> int: ...


class Square:
    def area(self):
        return 4


class Box(Generic[T]):
    def __init__(self, content: T):
        self.content = content


class Point(NamedTuple):
    a: int
    b: str = "b"


class Dynamic:
    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


DYNAMIC = Dynamic("text")


class ByName:
    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.lock = threading.Lock()

    def __call__(self, x):
        with self.lock:
            return self.__wrapped__(x)

    def __reduce__(self):
        return self.__qualname__


@ByName
def called(x):
    return x + 1


@functools.lru_cache(maxsize=3)
def cached(x):
    return x + 1


@functools.singledispatch
def generic(_value):
    return "other"


@generic.register
def _(_value: int):
    return "int"


@generic.register(Round)
def _(_value):
    return "round"


def doubled(function):
    @functools.wraps(function)
    def wrapper(x):
        return 2 * function(x)

    return wrapper


@doubled
def wrapped(x):
    return x + 1


HELD = Round()
WEAK = weakref.WeakValueDictionary(a=HELD)
KEYS = weakref.WeakKeyDictionary({HELD: 1})
REFERENCE = weakref.ref(HELD)
HOLDERS = weakref.WeakSet([HELD])


def is_missing(value=MISSING):
    return value is MISSING


def is_open(lock):
    taken = lock.acquire(timeout=5)
    lock.release()
    return taken


RULES = {
    "new types": lambda: RunId(3) == 3 and Label.__supertype__ is RunId,
    "type variables": lambda: T.__bound__ is int and P.__name__ == "P",
    "sentinels": lambda: is_missing() and not is_missing(UNSET),
    "locks": lambda: is_open(LOCK) and is_open(RLOCK) and is_open(SEMAPHORE),
    "conditions": lambda: is_open(CONDITION) and not EVENT.is_set(),
    "bounded semaphores": lambda: BOUNDED.acquire(timeout=5) and BOUNDED.acquire(timeout=5),
    "barriers": lambda: BARRIER.wait(5) == 0,
    "queues": lambda: QUEUE.get(timeout=5) == 5 and STACK.empty(),
    "context variables": lambda: VARIABLE.get() == 7,
    "thread locals": lambda: vars(LOCALS) == {},
    "patterns": lambda: PATTERN.match("aa"),
    "loggers": lambda: LOGGER is logging.getLogger("by_value.logger"),
    "handlers": lambda: HANDLER.stream is not None and is_open(HANDLER.lock),
    "mapped files": lambda: isinstance(MAPPED, np.memmap) and MAPPED[5] == 5 and not MAPPED.flags.writeable,
    "views of them": lambda: PART.tolist() == list(range(10, 100, 3)) and PART.base is not None,
    "registries of abstract classes": lambda: issubclass(Round, Shape) and issubclass(Row, collections.abc.Sequence),
    "enumerations": lambda: Coordinate(2).label == "y" and Operation.DOUBLE.value(4) == 8 and Level(5) is Level.LOW,
    "cached properties": lambda: Spectrum([1, 3]).mean == 2,
    "partial methods": lambda: Spectrum([]).add_five() == 6 and Spectrum([]).kind(1) == "int",
    "descriptors": lambda: HasNamed().first == "first" and HasNamed.names == ["first", "second"],
    "registries of classes": lambda: Plugin.known == {"Fast": Fast},
    "slots": lambda: weakref.ref(Node(Node())) and not hasattr(Node(), "__dict__"),
    "super": lambda: Below().name() == "Below",
    "dataclasses": lambda: dataclasses.replace(Record(a=1), a=2) == Record(a=2),
    "properties": lambda: HasProperty().three == 3 and type(vars(HasProperty)["three"]) is OwnProperty,
    "protocols": lambda: isinstance(Square(), HasArea) and not isinstance(Row(), HasArea),
    "generic classes": lambda: Box[int](3).content == 3,
    "named tuples": lambda: Point(1)._replace(a=2) == (2, "b"),
    "objects that answer for others": lambda: DYNAMIC.upper() == "TEXT",
    "objects that go by a name": lambda: called(1) == 2,
    "cached functions": lambda: cached(2) == 3 and cached.cache_info().maxsize == 3,
    "generic functions": lambda: (generic(2), generic(HELD), generic("")) == ("int", "round", "other"),
    "decorated functions": lambda: wrapped(2) == 6 and wrapped.__wrapped__(2) == 3,
    "weak references": lambda: WEAK["a"] is HELD and REFERENCE() is HELD and HELD in HOLDERS and KEYS[HELD],
    "submodules": lambda: xml.etree.ElementTree.fromstring("<a/>").tag == "a",
}


def check(item):
    wrong = [] if item[1] is MISSING else ["a sentinel in an item"]
    for name, rule in RULES.items():
        try:
            wrong += [] if rule() else [name]
        except (ValueError, TypeError, LookupError, AttributeError, NameError, RuntimeError) as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
    held = Spectrum([item])
    held.lock.acquire()
    return wrong, item, Coordinate.X, Round, Record(a=5), held


def main(pool):
    @dataclasses.dataclass(frozen=True)
    class Event:
        at: float

    class Colour(enum.Enum):
        RED = 1

    class Meta(type):
        pass

    class Made(metaclass=Meta):
        def __eq__(self, other):
            return isinstance(other, Made)

        __hash__ = None

    class Couple(NamedTuple):
        a: int

    class Slotted(Generic[T]):
        __slots__ = ("x",)

    Pair = collections.namedtuple("Pair", "x y")
    kinds = Event, Colour, Made, Couple, Slotted, Pair
    graph = Graph()

    @graph.node(pool="one")
    def make(_number):
        return Event(1.0), Colour.RED, Made(), Couple(1), Slotted(), Pair(1, 2)

    @graph.node(pool="two")
    def look(make):
        known = [isinstance(value, kind) for value, kind in zip(make, kinds, strict=True)]
        return all(known) and make[:4] == (Event(1.0), Colour.RED, Made(), Couple(1)), make

    for known, made in run({"_number": [1, 2]}, graph=graph, pools={"one": pool, "two": pool}):
        print("nodes", known)
        print("caller", all(isinstance(value, kind) for value, kind in zip(made, kinds, strict=True)))
        print("equal", made[:4] == (Event(1.0), Colour.RED, Made(), Couple(1)), made[1] is Colour.RED)
    for wrong, item, coordinate, kind, record, held in papympi.map(check, [(1, MISSING)], pool=pool):
        print("wrong", wrong)
        print("back", item[1] is MISSING, coordinate is Coordinate.X, kind is Round, record == Record(a=5))
        print("open", is_open(held.lock))


main(sys.argv[1])
