"""The plugin manager: what is loaded, what is blocked, and who is to blame when a plugin breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from pluggy import PluginManager

from papympi.contracts import Backend, NodeOption
from papympi.errors import PluginError
from papympi.hookspecs import hookimpl
from papympi.runner.plugins import collect_offers, list_plugins, plugin_manager

BUILTINS = ["inline", "threads", "asyncio", "processes", "mpi", "mpi4py"]


def fresh_manager(*blocked: str) -> PluginManager:
    """Return a manager that no other test sees; managers are kept by what they block."""
    return plugin_manager([f"unused-{uuid4()}", *blocked])


def install(folder: Path, name: str, source: str) -> None:
    """Install a distribution with one plugin of its own name into a folder of `sys.path`."""
    (folder / f"{name}_plugin.py").write_text(source)
    info = folder / f"papympi_{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: papympi-{name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[papympi]\n{name} = {name}_plugin\n")


def test_builtins_come_first():
    """Built-ins come first and offer a backend each."""
    manager = fresh_manager()
    names = [record.name for record in list_plugins(manager)]
    assert names[: len(BUILTINS)] == BUILTINS
    assert set(BUILTINS) <= set(collect_offers(manager, "papympi_backends"))
    for backend in collect_offers(manager, "papympi_backends").values():
        assert isinstance(backend, Backend)
        assert backend.summary


def test_managers_kept_by_blocks(monkeypatch):
    """The manager is kept by what it blocks."""
    manager = plugin_manager(["mpi"])
    assert plugin_manager(["mpi"]) is manager
    assert plugin_manager() is not manager
    monkeypatch.setenv("PAPYMPI_BLOCK", " mpi ,")
    assert plugin_manager() is manager


def test_blocked_builtin_is_gone():
    """A blocked built-in is gone and listed as blocked."""
    manager = fresh_manager("mpi4py")
    assert "mpi4py" not in collect_offers(manager, "papympi_backends")
    record = next(record for record in list_plugins(manager) if record.name == "mpi4py")
    assert record.blocked
    assert record.hooks == ()


def test_installed_plugin_is_listed(tmp_path, monkeypatch):
    """An installed plugin is loaded and listed with where it is from."""
    install(
        tmp_path,
        "well",
        "from papympi.hookspecs import hookimpl\n"
        "from papympi.contracts import NodeOption\n"
        "@hookimpl\n"
        "def papympi_node_options():\n"
        "    return {'jit': NodeOption('compile it')}\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    manager = fresh_manager()
    record = next(record for record in list_plugins(manager) if record.name == "well")
    assert (record.distribution, record.where) == ("papympi-well 1.2", "well_plugin")
    assert record.hooks == ("papympi_node_options",)
    assert collect_offers(manager, "papympi_node_options") == {"jit": NodeOption("compile it")}


def test_node_takes_plugin_options(tmp_path, monkeypatch):
    """Options of plugins are accepted by node."""
    install(
        tmp_path,
        "opts",
        "from papympi.hookspecs import hookimpl\n"
        "from papympi.contracts import NodeOption\n"
        "@hookimpl\n"
        "def papympi_node_options():\n"
        "    return {'gpus': NodeOption('how many it needs', lambda value: value > 0)}\n",
    )
    program = (
        "from papympi.model.options import load_options_with, read_options\n"
        "from papympi.runner.plugins import declare_node_options\n"
        "from papympi.errors import OptionError\n"
        "load_options_with(declare_node_options)\n"
        "print(read_options({'gpus': 2}, 'node a').plugin['gpus'])\n"
        "for wrong in ({'gpus': 0}, {'gpu': 1}):\n"
        "    try: read_options(wrong, 'node a')\n"
        "    except OptionError as error: print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    lines = ran.stdout.splitlines()
    assert lines[0] == "2"
    assert "gpus=0 is not accepted" in lines[1]
    assert "did you mean 'gpus'" in lines[2]


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (
            "from papympi.hookspecs import hookimpl\n@hookimpl\ndef papympi_backend(): return {}\n",
            "papympi_backend",
        ),
        (
            "from papympi.hookspecs import hookimpl\n@hookimpl\ndef papympi_event(speed): pass\n",
            "speed",
        ),
    ],
    ids=["raises", "unknown hook", "unknown argument"],
)
def test_broken_plugin_is_named(tmp_path, monkeypatch, source, what):
    """A plugin that cannot be loaded is named and can be blocked."""
    install(tmp_path, "sick", source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sick_plugin", raising=False)
    with pytest.raises(PluginError, match="plugin 'sick' of papympi-sick 1.2") as caught:
        fresh_manager()
    assert what in str(caught.value)
    assert "-p no:sick" in str(caught.value)
    assert caught.value.__cause__ is not None
    assert set(BUILTINS) <= set(collect_offers(fresh_manager("sick"), "papympi_backends"))


def test_raising_hook_names_plugin():
    """A hook that raises is a plugin error that names the plugin."""

    class Grumpy:
        @hookimpl
        def papympi_commands(self):
            return {}["speed"]

    class Happy:
        @hookimpl
        def papympi_commands(self):
            return []

    manager = fresh_manager()
    manager.register(Happy(), "happy")
    manager.register(Grumpy(), "grumpy")
    manager.register(Happy(), "merry")
    with pytest.raises(PluginError, match="plugin 'grumpy': papympi_commands raised KeyError") as caught:
        manager.hook.papympi_commands()
    assert isinstance(caught.value.__cause__, KeyError)


def test_ctrl_c_passes_a_hook():
    """What is no error of the plugin passes."""

    class Tired:
        @hookimpl
        def papympi_commands(self):
            raise KeyboardInterrupt

    manager = fresh_manager()
    manager.register(Tired(), "tired")
    with pytest.raises(KeyboardInterrupt):
        manager.hook.papympi_commands()


def test_one_name_two_plugins():
    """Two plugins with one name are an error that names both."""

    class Twin:
        @hookimpl
        def papympi_backends(self):
            return {"threads": Backend(make=dict, summary="twin")}

    manager = fresh_manager()
    manager.register(Twin(), "twin")
    with pytest.raises(PluginError, match=r"'twin' and 'threads'|'threads' and 'twin'"):
        collect_offers(manager, "papympi_backends")
    manager = fresh_manager("threads")
    manager.register(Twin(), "twin")
    assert collect_offers(manager, "papympi_backends")["threads"].summary == "twin"


def test_offer_that_is_no_table():
    """An offer that is no table names the plugin."""

    class Odd:
        @hookimpl
        def papympi_readers(self):
            return ["fasta"]

    manager = fresh_manager()
    manager.register(Odd(), "odd")
    with pytest.raises(PluginError, match="plugin 'odd': papympi_readers returned list"):
        collect_offers(manager, "papympi_readers")
