"""Pipelines loaded from files and modules."""

import sys

import pytest

from papympi.errors import GraphError, LoadError
from papympi.runner.loading import load_graph

NODE = """
from papympi.model.registry import node

@node
def one():
    yield 1
"""

GRAPHS = """
from papympi.model.graph import Graph

first = Graph("first")
second = Graph("second")

@first.node
def one():
    yield 1
"""


@pytest.fixture(autouse=True)
def _clean(project, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "modules", sys.modules.copy())


def test_file_has_a_graph(project):
    (project / "spectra_file.py").write_text(NODE)
    loaded = load_graph("spectra_file.py")
    assert list(loaded.graph) == ["one"]
    assert loaded.module == "spectra_file"
    assert loaded.path == (str(project),)
    assert loaded.graph["one"].function is sys.modules["spectra_file"].one
    assert sys.path[0] == str(project)


def test_guarded_block_is_skipped(project):
    """A guarded block does not run."""
    (project / "guarded.py").write_text(NODE + "\nif __name__ == '__main__':\n    raise SystemExit('ran')\n")
    assert "one" in load_graph("guarded.py").graph


def test_file_imports_neighbours(project):
    (project / "sub").mkdir()
    (project / "sub" / "neighbour_file.py").write_text(NODE)
    (project / "sub" / "importer_file.py").write_text("import neighbour_file")
    loaded = load_graph("sub/importer_file.py")
    assert "one" in loaded.graph
    assert loaded.path == (str(project / "sub"),)


@pytest.mark.parametrize("name", ["json.py", "2nd-try.py", "class.py", "no_suffix"])
def test_stem_is_no_free_name(project, name):
    """A file whose stem is no free name."""
    import json

    (project / name).write_text(NODE)
    loaded = load_graph(f"./{name}")
    assert loaded.module.isidentifier()
    assert loaded.module != "json"
    assert sys.modules["json"] is json
    assert "one" in loaded.graph


def test_two_files_of_one_stem(project):
    for folder in ("a", "b"):
        (project / folder).mkdir()
        (project / folder / "twice.py").write_text(f"HERE = '{folder}'\n" + NODE.replace("one", folder))
    first, second = load_graph("a/twice.py").module, load_graph("b/twice.py").module
    assert (sys.modules[first].HERE, sys.modules[second].HERE) == ("a", "b")


def test_the_one_graph_of_a_file(project):
    (project / "single.py").write_text(GRAPHS.replace('second = Graph("second")', "alias = first"))
    assert load_graph("single.py").graph.name == "first"


def test_graph_by_name(project):
    (project / "several.py").write_text(GRAPHS)
    assert load_graph("several.py:second").graph.name == "second"


def test_several_graphs_need_name(project):
    """Several graphs ask for a name."""
    (project / "several.py").write_text(GRAPHS)
    with pytest.raises(LoadError, match=r"several graphs; say which: several\.py:first, several\.py:second"):
        load_graph("several.py")


def test_wrong_name_of_a_graph(project):
    (project / "several.py").write_text(GRAPHS)
    with pytest.raises(LoadError, match="no graph named 'fist'; did you mean 'first'"):
        load_graph("several.py:fist")


def test_file_without_nodes(project):
    (project / "empty.py").write_text("")
    with pytest.raises(LoadError, match=r"'empty\.py' defines no node"):
        load_graph("empty.py")


def test_module_goes_by_reference(project):
    """A module travels by reference."""
    (project / "packaged").mkdir()
    (project / "packaged" / "__init__.py").touch()
    (project / "packaged" / "inner.py").write_text(GRAPHS)
    loaded = load_graph("packaged.inner:first")
    assert (loaded.module, loaded.path) == ("packaged.inner", (str(project),))


def test_missing_names_closest(project):
    """A missing file names the closest."""
    (project / "spectra.py").touch()
    with pytest.raises(LoadError, match=r"no such file: 'spectre\.py'; did you mean 'spectra\.py'"):
        load_graph("spectre.py")
    with pytest.raises(LoadError, match="no such file: 'none/spectra.py'"):
        load_graph("none/spectra.py")
    with pytest.raises(LoadError, match="no file and no module named 'no_such'"):
        load_graph("no_such")
    with pytest.raises(LoadError, match=r"no file and no module named 'json\.nothing'"):
        load_graph("json.nothing")


def test_folder_is_refused(project):
    with pytest.raises(LoadError, match="that is a folder"):
        load_graph(str(project))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def (", "SyntaxError: invalid syntax"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise ValueError", "'broken.py' cannot be loaded|broken.py' cannot be loaded: ValueError"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
    ],
)
def test_broken_file_has_traceback(project, text, message):
    """A file that cannot be loaded has its traceback."""
    (project / "broken.py").write_text(text)
    with pytest.raises(LoadError, match=message) as caught:
        load_graph("broken.py")
    assert "broken.py" in caught.value.traceback
    assert "importlib" not in caught.value.traceback
    assert "loading.py" not in caught.value.traceback


def test_bad_definition_is_kept(project):
    """A bad definition stays what it is."""
    (project / "taken.py").write_text(NODE + "\n@node(name='one')\ndef two(): pass\n")
    with pytest.raises(GraphError, match="taken"):
        load_graph("taken.py")


def test_ctrl_c_while_loading(project):
    """Ctrl-C while loading stays what it is."""
    (project / "ended.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_graph("ended.py")
