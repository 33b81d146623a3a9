"""What a module has imported is read from its source, or from what it holds."""

import sys
import types

import pytest

from papympi.transport.imports import find_imports


@pytest.fixture
def imports_of(load_module):
    """The imports of a module of some source, as far as they are of interest."""

    def find(source, *names):
        found = find_imports(load_module("recipe", source))
        return [name for name in found if name in names] if names else list(found)

    return find


def test_imports_in_their_order(imports_of):
    source = "import xml.dom.minidom\nimport json as j, csv\nfrom email import message\nfrom math import sqrt\n"
    expected = ["xml.dom.minidom", "json", "csv", "email", "email.message", "math"]
    assert imports_of(source, *expected) == expected


def test_imports_in_blocks_count(imports_of):
    source = """
        try:
            import tomllib
        except ImportError:
            import nowhere
        if True:
            with open(__file__):
                import csv
        class Local:
            import json
        match 1:
            case 1:
                import colorsys
        """
    assert imports_of(source, "tomllib", "csv", "json", "nowhere", "colorsys") == ["tomllib", "csv", "json", "colorsys"]


def test_imports_in_functions_do_not(imports_of):
    assert imports_of("def f():\n    import csv\n") == []


def test_what_is_not_loaded_does_not_count(imports_of):
    assert imports_of("if False:\n    import papympi_nowhere\n    import csv_nowhere.x\n") == []


def test_modules_in_variables_count(imports_of):
    assert imports_of("import importlib\ntool = importlib.import_module('csv')\n") == ["importlib", "csv"]


def test_relative_imports(tmp_path, monkeypatch):
    folder = tmp_path / "papympi_lab" / "inner"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder.parent / "near.py").touch()
    (folder / "__init__.py").touch()
    (folder / "beside.py").touch()
    (folder / "main.py").write_text("from . import beside\nfrom ..near import __name__ as n\n")
    monkeypatch.syspath_prepend(tmp_path)
    import papympi_lab.inner.main as module

    found = find_imports(module)
    for name in [name for name in sys.modules if name.startswith("papympi_lab")]:
        del sys.modules[name]
    assert found == ("papympi_lab.inner", "papympi_lab.inner.beside", "papympi_lab.near")


def notebook(*cells):
    """A namespace as IPython keeps it."""
    module = types.ModuleType("notebook")
    vars(module).update(get_ipython=lambda: None, In=["", *cells])
    for cell in cells:
        if "%" not in cell:
            exec(cell, vars(module))
    return module


def test_cells_of_a_notebook_count():
    module = notebook("import xml.dom.minidom", "%broken (", "from math import sqrt")
    assert find_imports(module)[:2] == ("xml.dom.minidom", "math")


def test_without_source_objects_tell():
    module = types.ModuleType("bare")
    exec("from fractions import Fraction\nfrom textwrap import dedent\nhalf = Fraction(1, 2)", vars(module))
    assert set(find_imports(module)) == {"fractions", "textwrap"}


def test_our_own_do_not_count(imports_of):
    assert imports_of("import papympi\nfrom papympi.errors import ShippingError\n") == []
