"""What is to be done once a module is loaded: now, or as soon as somebody imports it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from importlib.abc import Loader  # importing it takes as long as much of what a worker needs

Action = Callable[[], object]


class _WatchedLoader:
    """Loads a module as another loader does, and then does what waits for it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader  # others ask these for data of the package
        self._loader.exec_module(module)
        for action in _finder.waiting.pop(module.__spec__.name, {}).values():
            action()


class _WatchingFinder:
    """Finds modules as the others do, and sees that what waits for them is done.

    Attributes:
        waiting: by module, what is to be done, under what it is for: the last of a kind holds.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, dict[str, Action]] = {}
        self._searching: set[str] = set()

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.waiting or fullname in self._searching:
            return None
        import importlib.util  # it takes its time, and is seldom needed

        self._searching.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._searching.discard(fullname)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = cast("Loader", _WatchedLoader(cast("Loader", spec.loader)))
        return spec


_finder: Final = _WatchingFinder()


def when_loaded(module: str, what: str, action: Action) -> None:
    """Do something if a module is loaded, else as soon as it is; what was to be done for the same is forgotten."""
    if module in sys.modules:
        action()
        return
    _finder.waiting.setdefault(module, {})[what] = action
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
