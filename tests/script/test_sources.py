"""The sources of the user's own modules: taken here, loaded there."""

import subprocess
import sys
import textwrap

import pytest

from papympi.plan.preparation import SourceFile
from papympi.script.sources import take_sources

_LOAD = """
import pickle, sys
from papympi.script.sources import serve
serve(pickle.load(sys.stdin.buffer))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder to import from; what is imported from there is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write(folder, **files):
    for name, text in files.items():
        path = folder / (name.replace("__", "/").replace("/init", "/__init__") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))


def taken_from(folder):
    return {source.name: source for source in take_sources() if source.path.startswith(str(folder))}


def load(sources, code):
    """Return what code prints in an interpreter that has these sources and nothing else."""
    import pickle

    done = subprocess.run(
        [sys.executable, "-c", _LOAD + textwrap.dedent(code)],
        input=pickle.dumps(tuple(sources)), capture_output=True, check=False, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().split()


def test_loaded_and_lazy_modules(project):
    """Modules that are loaded are taken, and those that their functions import; what is installed is not."""
    write(
        project,
        own_top="import own_pack.inner, json, numpy\n\ndef f():\n    import own_late\n    return own_late.x\n",
        own_late="def g():\n    from own_pack import later, inner\n",
        own_pack__init="",
        own_pack__inner="def h():\n    from . import deep\n    from .other import y\n",
        own_pack__later="",
        own_pack__deep="",
        own_pack__other="y = 1\n",
        own_unused="",
    )
    __import__("own_top")
    found = taken_from(project)
    names = {"own_top", "own_late", "own_pack", *(f"own_pack.{name}" for name in ("inner", "later", "deep", "other"))}
    assert set(found) == names
    assert not {"own_late", "own_pack.later"} & set(sys.modules)
    assert all("site-packages" not in source.path for source in take_sources())


def test_loaded_without_their_files(project, tmp_path):
    """A worker that sees no file loads modules, packages and those in folders without `__init__`."""
    write(
        project,
        own_a="import own_space.sub.b, own_pack.c\nvalue = own_space.sub.b.value + own_pack.c.value\n",
        own_space__b="",
        own_pack__init="base = 1\n",
        own_pack__c="from . import base\nvalue = base\n",
    )
    (project / "own_space" / "sub").mkdir()
    (project / "own_space" / "sub" / "b.py").write_text("value = 41\n")
    __import__("own_a")
    sources = taken_from(project).values()
    for source in sources:
        (project / source.path).unlink()
    assert load(sources, "import own_a; print(own_a.value, own_a.__file__)") == ["42", str(project / "own_a.py")]


def test_as_when_taken(project):
    """A module is what it was when it was taken, also if a compiled file of another state is there."""
    write(project, own_edited="value = 'old'\n")
    __import__("own_edited")
    sources = list(taken_from(project).values())
    write(project, own_edited="value = 'edited'\n")
    subprocess.run([sys.executable, "-c", "import own_edited"], cwd=project, check=True, timeout=50)
    code = f"sys.path.insert(0, {str(project)!r}); import own_edited; print(own_edited.value)"
    assert load(sources, code) == ["old"]


def test_another_state_is_loaded_anew(tmp_path):
    """A process that serves one run after the other has the modules of the latest."""
    old, new = (SourceFile("own_m", str(tmp_path / "own_m.py"), f"value = {n}\n".encode(), n) for n in (1, 2))
    code = f"""
    import own_m
    print(own_m.value)
    from papympi.plan.preparation import SourceFile
    serve([SourceFile("own_m", {new.path!r}, {new.data!r}, 2)])
    import own_m
    print(own_m.value)
    """
    assert load([old], code) == ["1", "2"]
