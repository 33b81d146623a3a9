"""The plugin manager: built-in plugins first, then those that are installed, less those that are blocked."""

from __future__ import annotations

import os
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from papympi.contracts import Backend
from papympi.errors import PluginError
from papympi.model.options import declare_option
from papympi.model.telling import tell_error

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from pluggy import HookImpl, PluginManager, Result

BLOCK_VARIABLE = "PAPYMPI_BLOCK"
"""Environment variable with the names of plugins that are not to be loaded, separated by commas."""


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """What `papympi plugins` says of one plugin.

    Attributes:
        name: what `-p no:NAME` takes.
        distribution: name and version of what it was installed with.
        where: the module or object it comes from.
        hooks: the hooks that it implements.
        blocked: it was not loaded.
    """

    name: str
    distribution: str
    where: str
    hooks: tuple[str, ...] = ()
    blocked: bool = False


def plugin_manager(blocked: Iterable[str] = ()) -> PluginManager:
    """Return the manager with every plugin but the blocked ones and those that `PAPYMPI_BLOCK` names.

    Raises:
        PluginError: a plugin cannot be loaded; says which, and how to leave it out.
    """
    named = os.environ.get(BLOCK_VARIABLE, "").split(",")
    return _make_manager(frozenset(name.strip() for name in (*blocked, *named) if name.strip()))


def collect_offers(manager: PluginManager, hook: str, without: Collection[object] = ()) -> dict[str, Any]:
    """Return what all plugins offer through a hook that returns a table by name: backends, options, readers, writers.

    Args:
        manager: of the plugins.
        hook: its name.
        without: plugins that are not asked.

    Raises:
        PluginError: a hook raised or returned no table, or two plugins offer the same name.
    """
    offers: dict[str, Any] = {}
    owners: dict[str, str] = {}
    plugins = [impl.plugin for impl in getattr(manager.hook, hook).get_hookimpls()]
    for plugin in (plugin for plugin in plugins if plugin not in without):
        owner = manager.get_name(plugin) or repr(plugin)
        others = [other for other in plugins if other is not plugin]
        for table in manager.subset_hook_caller(hook, others)():
            if not isinstance(table, Mapping):
                kind = type(table).__name__
                raise PluginError(f"plugin {owner!r}: {hook} returned {kind}, not a mapping; {_way_out(owner)}")
            for name, offer in table.items():
                if (other := owners.setdefault(name, owner)) != owner:
                    raise PluginError(f"{hook}: plugins {other!r} and {owner!r} both have {name!r}; {_way_out(other)}")
                offers[name] = offer
    return offers


def find_backend(manager: PluginManager, name: str) -> Backend | None:
    """Return the backend of that name, if there is one; the other pools of papympi are not even imported for it."""
    from papympi.runner.backends import BUILTINS, PoolPlugin

    others = [plugin for plugin in BUILTINS if isinstance(plugin, PoolPlugin) and plugin.name != name]
    return collect_offers(manager, "papympi_backends", others).get(name)


def declare_node_options() -> None:
    """Let `@node` accept the options of plugins; to be given to `papympi.model.options.load_options_with`."""
    for name, option in collect_offers(plugin_manager(), "papympi_node_options").items():
        declare_option(name, option.accepts)


def list_plugins(manager: PluginManager) -> list[PluginRecord]:
    """Return a record of each plugin, in the order of their registration, and of each that is blocked."""
    from papympi.runner.backends import BUILTINS

    places = {builtin.name: ("papympi", builtin.module) for builtin in BUILTINS}
    places |= {entry.name: (_distribution(entry), entry.value) for entry in _installed()}
    records = []
    for name, plugin in manager.list_name_plugin():
        distribution, where = places.get(name, ("", getattr(plugin, "__name__", type(plugin).__module__)))
        hooks = tuple(sorted(caller.name for caller in manager.get_hookcallers(plugin) or ())) if plugin else ()
        records.append(PluginRecord(name, distribution, where, hooks, blocked=plugin is None))
    return sorted(records, key=lambda record: record.blocked)


@lru_cache(maxsize=8)
def _make_manager(blocked: frozenset[str]) -> PluginManager:
    """Return the one manager for a set of blocked names."""
    from pluggy import PluginManager

    from papympi import hookspecs
    from papympi.runner.backends import BUILTINS

    manager = PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    for name in sorted(blocked):
        manager.set_blocked(name)
    for builtin in BUILTINS:
        manager.register(builtin, builtin.name)
    for entry in _installed():
        if not manager.is_blocked(entry.name):
            _load(manager, entry)
    manager.add_hookcall_monitoring(lambda *_: None, _name_culprit)
    return manager


def _installed() -> list[EntryPoint]:
    """Return the entry points of installed plugins, in a fixed order."""
    from importlib.metadata import entry_points

    return sorted(entry_points(group="papympi"), key=lambda entry: (entry.name, entry.value))


def _load(manager: PluginManager, entry: EntryPoint) -> None:
    """Import an installed plugin and register it."""
    try:
        manager.register(entry.load(), entry.name)
        manager.check_pending()
    except Exception as error:
        raise PluginError(
            f"plugin {entry.name!r} of {_distribution(entry)} ({entry.value}) cannot be loaded: {tell_error(error)}; "
            f"{_way_out(entry.name)}"
        ) from error


def _distribution(entry: EntryPoint) -> str:
    """Return name and version of the distribution that an entry point is from."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown distribution"


def _way_out(name: str) -> str:
    """Return what a user can do about a plugin."""
    return f"leave it out with `-p no:{name}` or {BLOCK_VARIABLE}={name}"


def _name_culprit(outcome: Result[Any], hook: str, impls: Sequence[HookImpl], _arguments: Mapping[str, Any]) -> None:
    """Turn what a hook raised into a `PluginError` that names the plugin."""
    error = outcome.exception
    if not isinstance(error, Exception):
        return
    codes = {frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)}
    guilty = [impl.plugin_name for impl in impls if getattr(impl.function, "__code__", None) in codes]
    name = guilty[-1] if guilty else " or ".join(impl.plugin_name for impl in impls)
    named = PluginError(f"plugin {name!r}: {hook} raised {tell_error(error)}; {_way_out(name)}")
    named.__cause__ = error
    outcome.force_exception(named)
