"""The graph of a module: what is declared in it, what it takes from modules that it imports, what it leaves there."""

import copy
import pickle
import subprocess
import sys
import textwrap
from types import ModuleType

import pytest

import papympi
from papympi import Graph, GraphError
from papympi.model.module_graph import find_module_graph

OTHER = """
from papympi import node, resource

@resource
def scale():
    return 10

@node
def raw(path, scale):
    return path * scale

@node
def clean(raw):
    return raw + 1

@node
def figure(clean):
    return -clean

def helper(x):
    return x
"""


@pytest.fixture
def load(monkeypatch):
    """Return what makes a module of a text; those made before can be imported."""

    def make(name, text):
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(textwrap.dedent(text), f"{name}.py", "exec"), vars(module))
        return module

    return make


@pytest.fixture
def other(load):
    return load("other", OTHER)


def values(module, inputs, **options):
    """Run the graph of a module, as it would do itself."""
    entries = papympi.run(inputs, graph=find_module_graph(vars(module)), pools={"processes": "inline"}, **options)
    found = {}
    for each in entries.results():
        found.setdefault(each.node, []).append(each.value)
    return found


def test_two_modules_do_not_meet(load, other):
    """A helper is imported, and the nodes beside it are not mine; equal names are no clash."""
    mine = load("mine", "import other\nfrom papympi import node\n@node\ndef clean(x): return other.helper(x) ** 2")
    assert values(mine, {"x": [1, 2]}) == {"clean": [1, 4]}
    assert values(other, {"path": [1]}) == {"figure": [-11]}


@pytest.mark.parametrize("way", ["import other", "from other import clean", "from other import *", "import other as o"])
def test_imported_nodes_are_ancestors(load, other, way):
    """By the name of a parameter; those below them are not wanted."""
    mine = load("mine", f"{way}\nfrom papympi import node\n@node\ndef square(clean): return clean ** 2")
    assert values(mine, {"path": [1, 2]}) == {"square": [121, 441]}


def test_node_is_given_by_function(load, other):
    """Also where a node of the same name stands in its way."""
    mine = load(
        "mine",
        """
        import other
        from papympi import node
        @node(inputs={"value": other.clean})
        def raw(value): return value ** 2
        """,
    )
    assert values(mine, {"path": [1]}) == {"raw": [121]}


def test_own_names_come_first(load, other):
    mine = load(
        "mine",
        """
        import other
        from papympi import node
        @node
        def clean(x): return x
        @node
        def square(clean): return clean ** 2
        """,
    )
    assert values(mine, {"x": [3]}) == {"square": [9]}


def test_given_inputs_come_before_imports(load, other):
    mine = load("mine", "import other\nfrom papympi import node\n@node\ndef square(clean): return clean ** 2")
    assert values(mine, {"clean": [3]}) == {"square": [9]}


def test_two_modules_with_the_name(load, other):
    """It is an error that names both, until one is chosen."""
    load("another", OTHER)
    text = "import other, another\nfrom papympi import node\n@node{}\ndef square(clean): return clean ** 2"
    with pytest.raises(GraphError, match=r"takes 'clean', which other and another have.*other\.clean"):
        values(load("mine", text.format("")), {"path": [1]})
    chosen = load("mine", text.format("(inputs={'clean': another.clean})"))
    assert values(chosen, {"path": [1]}) == {"square": [121]}


def test_imports_of_imports(load, other):
    """Every module finds its own nodes first, and then those that it imports itself."""
    load("middle", "from other import clean\nfrom papympi import node\n@node\ndef raw(clean): return clean + 100")
    mine = load("mine", "import middle\nfrom papympi import node\n@node\ndef last(raw): return raw")
    assert values(mine, {"path": [1]}) == {"last": [111]}


def test_include_makes_them_mine(load, other):
    """With their sinks, their resources, and what they take from elsewhere."""
    load("middle", "import other\nfrom papympi import node\n@node\ndef more(clean): return clean + 100")
    mine = load(
        "mine",
        """
        import middle, other, papympi
        papympi.graph.include(other)
        papympi.graph.include(middle, prefix="m.")
        @papympi.node
        def square(clean): return clean ** 2
        """,
    )
    assert values(mine, {"path": [1]}) == {"figure": [-11], "m.more": [111], "square": [121]}


def test_include_needs_nodes(load):
    module = load("empty", "")
    with pytest.raises(GraphError, match="module 'empty' declares no nodes"):
        papympi.graph.include(module)
    with pytest.raises(GraphError, match="is no graph"):
        Graph().include(module)


@pytest.mark.parametrize("target", ["figure", "clean"])
def test_targets_may_be_elsewhere(load, other, target):
    mine = load("mine", "import other\nfrom papympi import node\n@node\ndef square(x): return x ** 2")
    expected = {target: [{"figure": -11, "clean": 11}[target]]}
    assert values(mine, {"path": [1]}, targets=[target]) == expected
    assert values(mine, {"path": [1]}, targets=[getattr(other, target)]) == expected


def test_without_nodes_the_imported_are_run(load, other):
    """If there is one module with nodes; else it has to be said which."""
    mine = load("mine", "import other")
    assert values(mine, {"path": [1]}) == {"figure": [-11]}
    load("another", OTHER)
    mine = load("mine", "import other, another")
    with pytest.raises(GraphError, match="imports several modules that do: other, another"):
        values(mine, {"path": [1]})
    assert values(mine, {"path": [1]}, targets=[sys.modules["another"].clean]) == {"clean": [11]}


def test_checked_with_what_it_takes(load, other):
    mine = load("mine", "import other\nfrom papympi import node\n@node\ndef square(clean): return clean ** 2")
    find_module_graph(vars(mine)).check()


def test_wrapped_decorator_declares_in_user(load):
    """A decorator of one module that marks functions of another."""
    load("marks", "import papympi\ndef quick(f): return papympi.node(pool='threads')(f)")
    mine = load("mine", "from marks import quick\n@quick\ndef square(x): return x ** 2")
    assert list(find_module_graph(vars(mine))) == ["square"]


def test_function_of_another_is_mine(load, other):
    """Whoever declares a function that stands elsewhere has the node."""
    mine = load("mine", "import other\nfrom papympi import node\nnode(other.helper)")
    assert values(mine, {"x": [1]}) == {"helper": [1]}


def test_run_is_of_the_calling_module(load, other):
    """Of a module without nodes, of whoever calls that."""
    load("tool", "import papympi\ndef start(**inputs): return papympi.run(inputs, pools={'processes': 'inline'})")
    text = "import tool\nfrom papympi import node\n@node\ndef square(x): return x ** 2\nfound = list(tool.start(x=[3]))"
    assert load("mine", text).found == [9]


def test_graph_is_of_who_asks(load, other):
    assert list(load("mine", "import papympi\n@papympi.node\ndef one(x): pass\nfound = papympi.graph").found) == ["one"]
    assert list(load("yours", "from papympi import graph").graph) == []


def test_copy_is_the_same(load, other):
    graph = find_module_graph(vars(other))
    assert copy.deepcopy(graph) is graph
    assert pickle.loads(pickle.dumps(graph)) is graph


class Proxy:
    """An object that stands for another that is not there yet."""

    @property
    def __class__(self):
        raise RuntimeError

    def __getattribute__(self, name):
        raise RuntimeError


def test_globals_are_not_touched(load, other):
    """Of what a module has only its modules and functions matter."""
    mine = load("mine", "import other\nfrom papympi import node\n@node\ndef square(clean): return clean ** 2")
    mine.proxy = Proxy()
    assert values(mine, {"path": [1]}) == {"square": [121]}


def test_nameless_code_has_its_own():
    """What is executed without a name does not take the place of the script's graph."""
    here = papympi.graph
    for text in ("one", "two"):
        scope = {}
        exec(f"import papympi\n@papympi.node\ndef {text}(x): pass\nfound = papympi.graph", scope)
        assert list(scope["found"]) == [text]
    assert papympi.graph is here


def test_module_loaded_again_starts_anew(load, other):
    load("other", "from papympi import node\n@node\ndef only(x): return x")
    assert list(find_module_graph(vars(sys.modules["other"]))) == ["only"]


def test_command_line_runs_the_file(project):
    """And not what it has imported."""
    (project / "other.py").write_text(OTHER)
    (project / "mine.py").write_text(
        "import other\nfrom papympi import node\n\n@node(pool='processes')\ndef square(clean): return clean ** 2\n"
    )
    command = [sys.executable, "-m", "papympi", "run", "mine.py", "--input", "path=[1, 2]", "--no-progress"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout == "121\n441\n"
