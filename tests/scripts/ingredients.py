"""What random programs are made of: small pieces that each bring something to the script and ask for it in a node."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """One ingredient; `#` in its texts stands for a number of its own, so that a program may have it twice.

    Attributes:
        asks: an expression that a node evaluates; `number` is the item.
        top: what stands at the top of the script.
        after: what stands after the guard.
        helper: what stands in the script's helper module, `aside`.
        opens: it is something that may be refused.
    """

    asks: str
    top: str = ""
    after: str = ""
    helper: str = ""
    opens: bool = False


MODULES = {
    "collections.abc": "isinstance([], collections.abc.Sequence)",
    "concurrent.futures.thread": "concurrent.futures.thread.ThreadPoolExecutor.__name__",
    "email.mime.text": "email.mime.text.MIMEText('x').get_content_type()",
    "html.entities": "html.entities.name2codepoint['amp']",
    "http.cookies": "http.cookies.SimpleCookie('a=b')['a'].value",
    "importlib.util": "importlib.util.find_spec('json') is not None",
    "logging.handlers": "logging.handlers.DEFAULT_TCP_LOGGING_PORT",
    "multiprocessing.dummy": "multiprocessing.dummy.Pool(1).map(abs, [-number])",
    "numpy.polynomial.chebyshev": "float(numpy.polynomial.chebyshev.chebval(number, [1, 2]))",
    "os.path": "os.path.join('a', str(number))",
    "unittest.mock": "unittest.mock.Mock(return_value=number)()",
    "urllib.parse": "urllib.parse.quote('a b')",
    "wsgiref.util": "wsgiref.util.guess_scheme({})",
    "xml.dom.minidom": "len(xml.dom.minidom.parseString('<a><b/></a>').documentElement.childNodes)",
    "xml.sax.saxutils": "xml.sax.saxutils.escape('<')",
}

SETTINGS = {
    "decimal.getcontext().prec = {n} + 5": "str(decimal.Decimal(1) / 7)",
    "decimal.getcontext().rounding = decimal.ROUND_UP": "str(decimal.Decimal(2) / 3)",
    "decimal.getcontext().traps[decimal.Inexact] = {n} % 2": "decimal.getcontext().traps[decimal.Inexact] % 2",
    "sys.setrecursionlimit(3000 + {n})": "sys.getrecursionlimit()",
    "sys.set_int_max_str_digits(5000 + {n})": "sys.get_int_max_str_digits()",
    "numpy.seterr(over='raise')": "numpy.geterr()['over']",
    "numpy.seterr(all='ignore')": "numpy.geterr()['invalid']",
    "warnings.filterwarnings('error', message='w{n}')": "caught_warning('w{n}')",
    "warnings.simplefilter('ignore')": "caught_warning('anything')",
    "os.environ['LAB_{n}'] = '{n}'": "os.environ.get('LAB_{n}')",
    "os.umask(0o0{o})": "open('/proc/self/status').read().split('Umask:')[1].split()[0]",
    "logging.getLogger('lab{n}').setLevel({n})": "logging.getLogger('lab{n}.deep').getEffectiveLevel()",
    "sys.path.append('/lab/{n}')": "'/lab/{n}' in sys.path",
}

CLASSES = {
    "class C#:\n    by = {n}\n    def __init__(self, x):\n        self.x = x": "C#(number).x * C#.by",
    "@dataclasses.dataclass(frozen=True, order=True)\nclass C#:\n    x: int\n    y: int = {n}": "C#(number) < C#(number, {n} + 1)",
    "@dataclasses.dataclass(slots=True)\nclass C#:\n    x: int = {n}": "C#().x + number",
    "class C#(enum.Enum):\n    A = {n}\n    B = enum.auto()": "[C#({n}).name, len(C#), C#.B in C#]",
    "class C#(enum.IntFlag):\n    A = 1\n    B = 2": "int(C#.A | C#.B) + number",
    "C# = collections.namedtuple('C#', 'x y')": "C#(number, {n})._asdict()['y']",
    "class C#(typing.NamedTuple):\n    x: int\n    y: int = {n}": "C#(number).y",
    "class C#(abc.ABC):\n    @abc.abstractmethod\n    def f(self): ...\nC#.register(int)": "isinstance(number, C#)",
    "class C#:\n    class Inner:\n        x = {n}\n    inner = Inner()": "type(C#.inner) is C#.Inner and C#.Inner.x",
    "class C#:\n    __slots__ = ('x',)\n    def __init__(self, x): self.x = x\nc# = C#({n})": "c#.x + number",
    "class M#(type):\n    def __len__(cls): return {n}\nclass C#(metaclass=M#): ...": "len(C#) + number",
    "class C#:\n    @property\n    def p(self): return {n}\n    @classmethod\n    def m(cls): return cls.__name__": "[C#().p, C#.m()]",
    "def make#():\n    class C:\n        x = {n}\n    return C\nC# = make#()": "C#().x + number",
    "class B#:\n    kinds = []\n    def __init_subclass__(cls): B#.kinds.append(cls.__name__)\nclass C#(B#): ...": "B#.kinds",
    "class C#(ValueError):\n    def __init__(self, x, *, y): super().__init__(x); self.y = y": "C#(1, y=number).y",
    "T# = typing.TypeVar('T#')\nclass C#(typing.Generic[T#]):\n    x = {n}": "C#[int]().x",
    "N# = typing.NewType('N#', int)": "N#(number) + {n}",
    "class C#(dict):\n    def __missing__(self, key): return {n}\nc# = C#(a=1)": "[c#['a'], c#['b'], type(c#) is C#]",
    "class C#:\n    def __call__(self, x): return x + {n}\nc# = C#()": "c#(number)",
    "class C#:\n    @functools.cached_property\n    def p(self): return {n}\nc# = C#()": "c#.p + number",
    "class C#:\n    def f(self): return super().__repr__() != '' and {n}": "C#().f()",
}

FUNCTIONS = {
    "def f#(x): return x + {n}": "f#(number)",
    "f# = lambda x, y={n}: x * y": "f#(number)",
    "def outer#(y):\n    def inner(x): return x + y\n    return inner\nf# = outer#({n})": "f#(number)",
    "def counter#():\n    total = 0\n    def add(x):\n        nonlocal total\n        total = x\n        return total\n    return add\nf# = counter#()": "f#(number)",
    "f# = functools.partial(pow, {n})": "f#(number)",
    "f# = operator.itemgetter(1)": "f#([{n}, number])",
    "@functools.lru_cache\ndef f#(x): return x + {n}": "f#(number)",
    "@functools.singledispatch\ndef f#(x): return 'other'\n@f#.register\ndef _(x: int): return x + {n}": "f#(number)",
    "def even#(x): return x == 0 or odd#(x - 1)\ndef odd#(x): return x != 0 and even#(x - 1)": "even#(number + {n})",
    "def f#(*a, k={n}, **kw): return len(a) + k + len(kw)": "f#(number, z=1)",
    "def f#(x):\n    yield from range(x)": "list(f#(number))",
    "def deco#(f):\n    @functools.wraps(f)\n    def w(*a): return f(*a) + {n}\n    w.mark = {n}\n    return w\n@deco#\ndef f#(x): return x": "[f#(number), f#.mark, f#.__name__]",
    "def f#(x, seen=[]): return len(seen) + x + {n}": "f#(number)",
    "f# = 'abc'.join": "f#(['<', '>'])",
    "f# = [lambda x, i=i: x * i for i in range({n})]": "[g(number) for g in f#]",
    "async def co#(x): return x + {n}\ndef f#(x):\n    import asyncio\n    return asyncio.run(co#(x))": "f#(number)",
}

GLOBALS = {
    "g# = {n}": "g# + number",
    "g# = 10 ** {n}": "g# % 97",
    "g# = 'text {n} \\u00e9\\u4e2d'": "g#",
    "g# = {{'a': [{n}, {{1, 2}}], 'b': None}}": "[g#['a'][0], sorted(g#['a'][1]), g#['b']]",
    "g# = {{'ant', 'bee', 'cat', 'dog', 'x{n}'}}": "sorted(g#)",
    "g# = frozenset([({n}, 1), (2, 3)])": "sorted(g#)",
    "g# = numpy.arange({n} + 3) * 1.5": "float(g#.sum())",
    "g# = numpy.zeros(3, dtype=[('x', 'i4'), ('y', 'f8')])": "str(g#.dtype)",
    "g# = numpy.arange(50_000)": "int(g#[number])",
    "g# = memoryview(b'abc')": "g#[number % 3]",
    "g# = re.compile(r'(\\d+)-{n}')": "g#.pattern",
    "g# = datetime.datetime(2020, 2, 29, tzinfo=datetime.timezone.utc)": "g#.isoformat()",
    "g# = pathlib.Path('a') / 'b{n}'": "str(g#)",
    "g# = collections.defaultdict(lambda: {n})": "g#[number]",
    "g# = collections.OrderedDict(b=1, a={n})": "list(g#.items())",
    "g# = collections.deque([1, {n}], maxlen=2)": "[list(g#), g#.maxlen]",
    "g# = types.MappingProxyType({{'a': {n}}})": "g#['a']",
    "g# = types.SimpleNamespace(x={n})": "g#.x + number",
    "g# = fractions.Fraction(1, {n} + 1)": "str(g# + number)",
    "g# = threading.Lock()": "[g#.acquire(False), g#.release()]",
    "g# = threading.RLock()": "[g#.acquire(False), g#.release()]",
    "g# = threading.Event()\ng#.set()": "g#.is_set()",
    "g# = queue.Queue()\ng#.put({n})": "g#.qsize()",
    "g# = threading.local()\ng#.x = {n}": "g#.x if hasattr(g#, 'x') else {n}",
    "g# = object()\ndef same#(x=g#): return x is g#": "same#()",
    "g# = contextvars.ContextVar('g#', default=0)\ng#.set({n})": "g#.get()",
    "g# = logging.getLogger('lab.g#')": "g#.name",
    "g# = []\ng#.append(g#)": "g#[0] is g#",
    "a# = [{n}]\nb# = (a#, a#)": "b#[0] is b#[1] and b#[0] is a#",
    "g# = sys.maxsize, float('inf'), 1j, ..., NotImplemented": "str(g#)",
    "g# = int, str, len, print": "[each.__name__ for each in g#]",
    "import json as g#": "g#.dumps([number])",
    "g# = sys.modules[__name__]": "hasattr(g#, 'node')",
    "g# = array.array('i', range({n}))": "len(g#)",
    "g# = uuid.UUID(int={n})": "str(g#)",
    "g# = str(__name__)": "len(g#) > 0",
    "del_# = 1\ndel del_#": "'del_#' in globals()",
}

OPEN = {
    "g# = (x for x in range({n} + 9))": "next(g#) >= 0",
    "g# = open('/dev/null')": "g#.read()",
    "g# = socket.socket()": "g#.family.name",
    "g# = sqlite3.connect(':memory:', check_same_thread=False)": "g#.execute('select {n}').fetchone()[0]",
    "g# = itertools.count()": "next(g#) >= 0",
    "g# = ({n} * x for x in [])": "list(g#)",
}

HELPED = [
    Piece("aside.v# + number", "aside.v# = 50", helper="v# = 1"),
    Piece("aside.f#(number)", "aside.v# = 50", helper="v# = 1\ndef f#(x): return x * v#"),
    Piece("aside.f#(number)", after="aside.v# = 70", helper="v# = 1\ndef f#(x): return x * v#"),
    Piece("aside.f#('k')", "aside.t#['k'] = 5", helper="t# = {}\ndef f#(k): return t#.get(k)"),
    Piece("aside.f#('k')", after="aside.t#['k'] = 6", helper="t# = {}\ndef f#(k): return t#.get(k)"),
    Piece("aside.C#.x + number", "aside.C#.x = 9", helper="class C#:\n    x = 1"),
    Piece("g#.get()", "g# = aside.C#()\ng#.x = 4", helper="class C#:\n    x = 1\n    def get(self): return self.x"),
    Piece("len(aside.t#)", "aside.add#(3)", helper="t# = []\ndef add#(x): t#.append(x)"),
    Piece("f#(number)", "from aside import f#", helper="import decimal\ndef f#(x): return str(decimal.Decimal(x))"),
    Piece("aside.f#()", "aside.f# = lambda: 'script'", helper="def f#(): return 'helper'"),
    Piece("g#", "g# = 1", after="g# = 2"),
    Piece("g#", "g# = [1]", after="g#.append(2)"),
    Piece("g#.x", "class G#:\n    x = 1\ng# = G#()", after="g#.x = 2"),
    Piece("G#.x", "class G#:\n    x = 1", after="G#.x = 2"),
    Piece("f#(number)", "def f#(x): return x", after="def f#(x): return -x"),
    Piece("str(decimal.Decimal(1) / 3)", after="decimal.getcontext().prec = 9"),
    Piece("os.environ.get('MAIN_#')", after="os.environ['MAIN_#'] = 'set'"),
    Piece("papympi.random().randrange(1000)"),
    Piece("int(numpy.random.default_rng(papympi.seed()).integers(1000))"),
    Piece("hash('word #')"),
]
"""What a helper module, or what stands after the guard, has to do with it."""


def draw_pieces(dice: random.Random) -> list[Piece]:
    """Return some pieces; at the most one of them is something open."""
    made: dict[Callable[[], Piece], int] = {
        lambda: Piece(MODULES[name := dice.choice(list(MODULES))], f"import {name}"): 3,
        lambda: fill(SETTINGS, dice): 3,
        lambda: fill(CLASSES, dice): 4,
        lambda: fill(FUNCTIONS, dice): 4,
        lambda: fill(GLOBALS, dice): 5,
        lambda: dice.choice(HELPED): 5,
    }
    pieces = [make() for make in dice.choices(list(made), list(made.values()), k=dice.randint(3, 8))]
    if dice.random() < 0.15:
        opened = fill(OPEN, dice)
        pieces.append(Piece(opened.asks, opened.top, opens=True))
    return pieces


def fill(pieces: dict[str, str], dice: random.Random) -> Piece:
    """Return one of some pieces, with numbers."""
    top, asks = dice.choice(list(pieces.items()))
    numbers = {"n": dice.randint(2, 9), "o": dice.choice((22, 27, 77))}
    return Piece(asks.format(**numbers) if "{n}" in asks else asks, top.format(**numbers))
