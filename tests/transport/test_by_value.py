"""What workers cannot import is there nevertheless, as it is in the script, or is refused by its name."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

POOLS = ("processes:1", "loky:1")


@pytest.fixture(params=POOLS)
def script(request, tmp_path):
    """Run source as a script, on a pool; return what it prints."""

    def start(source, *arguments, **files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(source))
        argv = [sys.executable, path, request.param, *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=50, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return start


def refusal(script, source):
    """What is said to a script whose node `f` cannot be sent."""
    call = """
    import sys
    import papympi
    try:
        print(list(papympi.map(f, [1], pool=sys.argv[1])))
    except papympi.PapympiError as error:
        print(error)
    """
    return script(textwrap.dedent(source) + textwrap.dedent(call))


def test_all_kinds_are_right(script, tmp_path):
    source = (Path(__file__).parent / "by_value.py").read_text()
    node = "nodes True\ncaller True\nequal True True\n"
    assert script(source, str(tmp_path / "data")) == 2 * node + "wrong []\nback True True True True\nopen True\n"


def test_imports_come_first(script):
    """What the script imports registers itself, although nothing names it."""
    source = """
        import sys
        import codecs
        if codecs:
            import registers
        import papympi
        print(list(papympi.map(lambda x: codecs.encode(x, "shout"), ["a"], pool=sys.argv[1])))
        """
    registers = """
        import codecs
        def find(name):
            encode = lambda text: (text.upper() + "!", len(text))
            return codecs.CodecInfo(encode, None, name=name) if name == "shout" else None
        codecs.register(find)
        """
    assert script(source, registers=registers) == "['A!']\n"


def test_submodules_are_reached_by_dots(script):
    """Also under another name, and from a function that no source is known of."""
    source = """
        import sys
        import lab.deep.calib
        import lab as short
        import papympi

        def make():
            held = lab
            return lambda x: held.deep.calib.gain(x)

        def renamed(x):
            package = short.deep
            return package.calib.gain(x)

        names = {"__name__": "nowhere", "lab": lab}
        exec("def bare(x): return lab.deep.calib.gain(x)", names)
        for f in (make(), renamed, names["bare"]):
            print(list(papympi.map(f, [1], pool=sys.argv[1])))
        """
    prepare = """
        import pathlib
        folder = pathlib.Path("lab/deep")
        folder.mkdir(parents=True, exist_ok=True)
        (folder.parent / "__init__.py").touch()
        (folder / "__init__.py").touch()
        (folder / "calib.py").write_text("def gain(x): return 3 * x")
        """
    source = textwrap.dedent(prepare) + textwrap.dedent(source)
    assert script(source) == "[3]\n[3]\n[3]\n"


def test_names_are_not_imported(script):
    """Functions and classes may be called like files beside the script."""
    source = """
        import sys
        import papympi

        def clean(x):
            return x + 1

        class report:
            def __init__(self, x):
                self.x = x

        table = {"__name__": "clean", "report": clean}

        def use(x):
            return clean(x), report(x), lambda: x, table["__name__"]

        for a, b, c, d in papympi.map(use, [1], pool=sys.argv[1]):
            print(a, b.x, c(), d)
        """
    beside = "raise SystemExit('imported')"
    assert script(source, clean=beside, report=beside) == "2 1 1 clean\n"


def test_unneeded_harms_nobody(script):
    """What is not needed may be impossible to send, or to make again."""
    source = """
        import sys, threading, ctypes
        import papympi

        class Broken:
            def __reduce__(self):
                return int, ("no number",)

        BROKEN, THREAD = Broken(), threading.Thread()

        class Point(ctypes.Structure):
            _fields_ = (("x", ctypes.c_int),)

        class Holder:
            broken = BROKEN
            point = Point

        def unneeded(x=BROKEN, y=THREAD):
            return Holder, Point

        print(list(papympi.map(lambda x: 2 * x, [1], pool=sys.argv[1])))
        found, = papympi.map(lambda holder: holder.x, [Holder()], pool=sys.argv[1], errors="keep")
        print(found.error)
        """
    first, second = script(source).splitlines()
    assert first == "[2]"
    assert "'Holder' of '__main__' is not here: it cannot be made" in second


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("open(__file__)", "(_io.TextIOWrapper) cannot be sent: an open file"),
        ("open(__file__, 'rb', buffering=0)", "(_io.FileIO) cannot be sent: an open file"),
        ("threading.Thread()", "(threading.Thread) cannot be sent: a thread"),
        ("concurrent.futures.Future()", "(concurrent.futures._base.Future) cannot be sent: a future"),
        ("[(i for i in 'x')]", "(generator) cannot be sent"),
        ("multiprocessing.Lock()", "(multiprocessing.synchronize.Lock) cannot be sent: a lock of multi"),
        ("ctypes.CDLL(None)", "(ctypes.CDLL) cannot be sent: a loaded C library"),
        ("contextvars.copy_context()", "(_contextvars.Context) cannot be sent: a context"),
        ("numpy.memmap(__file__, mode='c')", "(numpy.memmap) cannot be sent: a copy-on-write map"),
    ],
)
def test_refused_by_name(load_module, what, said):
    """The node, the global, the function that uses it, and what to do are named."""
    from papympi.errors import ShippingError
    from papympi.plan.program import Argument, Call, Program, Stage
    from papympi.transport.ship import pack_program

    heads = "import concurrent.futures, contextvars, ctypes, multiprocessing, numpy, threading\n"
    module = load_module("recipe", f"{heads}it = {what}\ndef load():\n    return it\ndef f(x):\n    return load()\n")
    program = Program({0: Stage("map", 1, (Call("f", module.f, (Argument(0),)),), (1,))}, ("recipe",))
    with pytest.raises(ShippingError) as caught:
        pack_program(program)
    assert str(caught.value).startswith("node 'f': ")
    assert "global 'it' used by 'load' (" in str(caught.value)
    assert said in str(caught.value)
    assert "@resource" in str(caught.value) or "mode 'r'" in str(caught.value)
    if hasattr(module.it, "close"):
        module.it.close()


def test_what_cannot_be_made_is_named(script):
    """The worker says which global it is that it cannot make of what has arrived."""
    source = """
        class Broken:
            def __reduce__(self):
                return int, ("no number",)

        BROKEN = Broken()

        def load():
            return BROKEN

        def f(x):
            return load()
        """
    assert "global 'BROKEN' used by 'load' has arrived, but cannot be made" in refusal(script, source)


def test_a_missing_file_is_named(script):
    source = """
        import os
        import numpy as np

        np.arange(10.0).tofile("data")
        data = np.memmap("data")
        os.remove("data")

        def f(x):
            return data[x]
        """
    said = refusal(script, source)
    assert "global 'data'" in said
    assert "FileNotFoundError" in said


def test_values_with_locks_arrive_open(script):
    """Values that pickle refuses, because they have locks or local classes, go there and back."""
    source = """
        import sys, threading, queue
        import papympi

        class Account:
            def __init__(self):
                self.lock = threading.RLock()
                self.condition = threading.Condition(self.lock)
                self.queue = queue.Queue()

        def look(account):
            with account.condition:
                account.queue.put(1)
            taken = account.lock.acquire(timeout=5)
            return taken, account

        account = Account()
        account.lock.acquire()
        for taken, back in papympi.map(look, [account], pool=sys.argv[1]):
            print(taken, back.lock.acquire(timeout=5), back.queue.get(timeout=5))
        """
    assert script(source) == "True True 1\n"
