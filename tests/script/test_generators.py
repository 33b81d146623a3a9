"""Generators of random numbers that workers would have copies of: found and named, and never drawn from twice."""

from __future__ import annotations

import functools
import random
import textwrap
import time
import warnings

import numpy as np
import pytest

import papympi
from papympi import Graph, PapympiWarning, run
from papympi.plan.compile import compile_plan
from papympi.script.generators import find_generators
from papympi.testing.driver import of_two

USES = {
    "random.random": "import random\ndef f(x): return random.random()",
    "shuffle": "from random import shuffle\ndef f(x): shuffle([x])",
    "np.random.rand": "import numpy as np\ndef f(x): return np.random.rand()",
    "numpy.random.mtrand.normal": "import numpy\ndef f(x): return numpy.random.mtrand.normal()",
    "rng": "import numpy\nrng = numpy.random.default_rng(42)\ndef f(x): return rng.random()",
    "old": "import numpy\nold = numpy.random.RandomState(42)\ndef f(x): return old.rand()",
    "mine": "import random\nmine = random.Random(42)\ndef f(x): return mine.random()",
    "draw": "import random\ndraw = random.Random(42).gauss\ndef f(x): return draw(0, 1)",
    "in a helper": "import random\ndef g(): return random.random()\ndef f(x): return g()",
    "in a lambda": "import random\ndef f(x): return sorted([x], key=lambda _: random.random())",
    "imported inside": "def f(x):\n    import random\n    return random.random()",
    "imported from": "def f(x):\n    from random import random as draw\n    return draw()",
    "a default": "import random\ndef f(x, rng=random.Random(1)): return rng.random()",
    "in a closure": "import random\ndef make():\n    rng = random.Random(1)\n"
    "    return lambda x: rng.random()\nf = make()",
    "of an object": "import random\nclass A:\n    def __init__(self): self.rng = random.Random(1)\n"
    "    def __call__(self, x): return self.rng.random()\nf = A()",
    "of a method": "import random\nclass A:\n    def draw(self): return random.random()\n"
    "a = A()\ndef f(x): return a.draw()",
    "in a partial": "import random, functools\ndef g(rng, x): return rng.random()\n"
    "f = functools.partial(g, random.Random(1))",
    "of a class": "import random\nclass A:\n    rng = random.Random(1)\ndef f(x): return A.rng.random()",
}

HARMLESS = {
    "seeded": "import random\ndef f(x):\n    random.seed(x)\n    return random.random()",
    "seeded as well": "import numpy as np\ndef f(x):\n    np.random.seed(x)\n    return np.random.rand()",
    "its own": "import random\ndef f(x): return random.Random(x).random()",
    "its own, too": "import numpy as np\ndef f(x): return np.random.default_rng(x).random()",
    "papympi's": "import papympi\ndef f(x): return papympi.random().random()",
    "of the system": "import random\nrng = random.SystemRandom()\ndef f(x): return rng.random()",
    "not used": "import random\nrng = random.Random(1)\ndef f(x): return x",
    "another module's": "import textwrap\ndef f(x): return textwrap.dedent(x)",
}


def find(code):
    """Return the names of the generators that function `f` of some code draws from."""
    names = {"__name__": "__main__"}
    exec(textwrap.dedent(code), names)
    graph = Graph()
    graph.add(names["f"], name="f", inputs={"x": "xs"})
    return [use.name for use in find_generators(compile_plan(graph).program)]


@pytest.mark.parametrize("case", USES)
def test_it_is_found(case):
    (name,) = find(USES[case])
    assert name == case or " " in case


@pytest.mark.parametrize("case", HARMLESS)
def test_harmless(case):
    assert find(HARMLESS[case]) == []


def test_of_a_resource():
    graph = Graph()
    graph.resource(lambda: random.random(), name="offset")  # noqa: PLW0108 - looked into
    graph.add(lambda x, offset: x + offset, name="f")
    (use,) = find_generators(compile_plan(graph).program)
    assert (use.user, use.name) == ("resource 'offset'", "random.random")


rng = np.random.default_rng(42)
legacy = np.random.RandomState(42)
python = random.Random(42)


def draw(item):
    time.sleep(0.01)
    return (rng.random(), legacy.rand(), python.random(), np.random.rand(), random.random())


@pytest.mark.filterwarnings("ignore::papympi.PapympiWarning")
def test_no_draw_comes_twice(any_pool, call):
    """Copies of a generator that draw the same are worse than numbers that are others in each run."""
    _, pools = any_pool
    random.seed(1)
    np.random.seed(1)
    found = call(draw, range(12), pools)
    assert [len(set(column)) for column in zip(*found, strict=True)] == [12] * 5


def test_warning_names_it(pool):
    """The runner alone draws as the program would; on other pools it depends on the worker."""
    graph = Graph()
    graph.add(functools.partial(draw), name="noisy", inputs={"item": "items"}, pool="pool")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run({"items": [1]}, graph=graph, pools={"pool": of_two(pool)})
    texts = [str(warning.message) for warning in caught if warning.category is PapympiWarning]
    assert len(texts) == (0 if pool == "inline" else 5)
    for text, name in zip(texts, ("rng", "legacy", "python", "np.random.rand", "random.random"), strict=False):
        assert text.startswith(f"node 'noisy' draws from the random number generator {name!r} (")
        assert "papympi.seed()" in text


def test_warning_points_at_the_run():
    graph = Graph()
    graph.add(lambda item: item * random.random(), name="noisy", pool="threads")
    with pytest.warns(PapympiWarning) as caught:
        run({"item": [1]}, graph=graph)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(PapympiWarning) as caught:
        papympi.map(lambda _: random.random(), [1], pool="threads")
    assert [warning.filename for warning in caught] == [__file__]


def test_runner_keeps_its_own():
    """The generators of the program itself go on as they were seeded, whatever workers do."""
    random.seed(7)
    expected = [random.random() for _ in range(2)]
    random.seed(7)
    list(papympi.map(abs, range(3), pool={"backend": "mpi", "workers": 1, "isolate": False}))
    list(papympi.map(abs, range(3), pool="threads:2"))
    assert [random.random() for _ in range(2)] == expected
