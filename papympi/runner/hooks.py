"""What plugins do to a run: replace functions, rewrite the plan, and watch how it goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from papympi.contracts import Statistics
from papympi.errors import PluginError
from papympi.model.graph import Graph
from papympi.model.item import Failure
from papympi.plan.plan import Plan

if TYPE_CHECKING:
    from pluggy import PluginManager

EVENT_S: Final = 0.25
"""How often watchers are told how far a run is."""
GRACE_S: Final = 5.0
"""How long, in seconds, the end of a run waits for a watcher that has not returned."""


def compile_nodes(manager: PluginManager, graph: Graph) -> Graph:
    """Return the graph with the functions that plugins have compiled; the graph itself if there are none."""
    if not manager.hook.papympi_compile.get_hookimpls():
        return graph
    compiled = {name: manager.hook.papympi_compile(node=node) for name, node in graph.nodes.items()}
    return graph.with_functions({name: function for name, function in compiled.items() if function is not None})


class Watchers:
    """The plugins that watch a run. Events reach them on a thread of their own; what one raises is kept until `check`.

    Attributes:
        notes: what the summary has to say of them.

    Args:
        manager: knows the plugins.
        plan: what is run.
    """

    def __init__(self, manager: PluginManager, plan: Plan) -> None:
        self.notes: list[str] = []
        self._hook = manager.hook
        self._plan = plan
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: PluginError | None = None

    def start(self, look: Callable[[], Statistics]) -> None:
        """Tell them that the run starts; `look` says how far it is, from any thread."""
        self._hook.papympi_run_started(plan=self._plan)
        if self._hook.papympi_event.get_hookimpls():
            self._thread = threading.Thread(target=self._tell, args=(look,), name="papympi-watchers", daemon=True)
            self._thread.start()

    def check(self) -> None:
        """Raise the `PluginError` of a hook that raised on the thread."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def finish(self, last: Statistics, failures: Sequence[Failure]) -> None:
        """Tell them that the run has ended, and how far it was then."""
        self._over.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(GRACE_S)
            if self._thread.is_alive():
                names = " or ".join(impl.plugin_name for impl in self._hook.papympi_event.get_hookimpls())
                self.notes.append(f"plugin {names}: papympi_event did not return within {GRACE_S:.0f} s, and was left")
        self._hook.papympi_run_finished(statistics=last, failures=failures)
        self.check()

    def _tell(self, look: Callable[[], Statistics]) -> None:
        while not self._over.wait(EVENT_S):
            try:
                self._hook.papympi_event(statistics=look())
            except PluginError as error:
                self._error = error
                return
