"""The hooks: what a plugin may add to papympi or observe, with the two markers `hookspec` and `hookimpl`.

A plugin is an object or a module with functions marked `@hookimpl`. An installed one is found through the entry point
group `papympi`. Built-in ones are registered first, through the same hooks. A hook gets its arguments by name and may
leave out those that it does not need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from papympi.contracts import Backend, NodeOption, Reader, Statistics, WriterFactory
from papympi.model.item import Failure
from papympi.model.node import Node
from papympi.plan.plan import Plan

if TYPE_CHECKING:
    from click import Command

GROUP = "papympi"
"""The project name of the markers and the entry point group of plugins."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a function or method of a plugin as the implementation of the hook with its name."""


@hookspec
def papympi_backends() -> Mapping[str, Backend]:
    """Return what makes pools, by the name that `pool=`, a pool's table or `--pool` uses.

    Called once for each plugin manager. A name that another plugin has is an error; block that plugin to replace it.
    """
    raise NotImplementedError


@hookspec
def papympi_node_options() -> Mapping[str, NodeOption]:
    """Return options that `@node` is to accept, by name; their values are in `node.options.plugin`.

    Called once, when a node is declared with an option that is not papympi's own, and by `papympi plugins`.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def papympi_compile(node: Node) -> Callable[..., Any] | None:
    """Return a function to call in place of the node's, or `None` to leave it to the next plugin.

    Called for each node of a run, before the plan is made. The first plugin that returns a function wins. It must take
    the same arguments and return the same values: the graph, its keys and its results stay what they were.

    Args:
        node: the node as the user defined it; do not change it.
    """
    raise NotImplementedError


@hookspec
def papympi_rewrite(plan: Plan) -> None:
    """Change the plan in place, e.g. other strides or pools.

    Called once, when the plan is made and nothing has started; plugins are called one after the other. A rewrite must
    keep the output, key for key.

    Args:
        plan: the plan of the run.
    """
    raise NotImplementedError


@hookspec
def papympi_readers() -> Mapping[str, Reader]:
    """Return what reads the files that `--input NAME=@FILE` names, by suffix, e.g. `.fasta`.

    Called when `papympi run` is given inputs. What a reader returns is iterated while the run goes on, no further ahead
    than admission allows.
    """
    raise NotImplementedError


@hookspec
def papympi_writers() -> Mapping[str, WriterFactory]:
    """Return what writes the file that `--output` names, by suffix, e.g. `.parquet`.

    Called when `papympi run` is given `--output`.
    """
    raise NotImplementedError


@hookspec
def papympi_run_started(plan: Plan) -> None:
    """Take note that a run starts: its pools are open and the first item has been asked for.

    Args:
        plan: the plan of the run; do not change it.
    """
    raise NotImplementedError


@hookspec
def papympi_event(statistics: Statistics) -> None:
    """Take note of how far the run is.

    Called a few times a second while the run goes on, from a thread of its own, never for each item.
    The end of the run waits a few seconds for one that takes its time, then leaves it.

    Args:
        statistics: the state of the run at this moment.
    """
    raise NotImplementedError


@hookspec
def papympi_run_finished(statistics: Statistics, failures: Sequence[Failure]) -> None:
    """Take note that a run has ended, whatever ended it: its pools are closed.

    Args:
        statistics: the last state; `statistics.finished` says whether everything was delivered.
        failures: the first 1000; `statistics.nodes` counts all of them.
    """
    raise NotImplementedError


@hookspec
def papympi_commands() -> Sequence[Command]:
    """Return commands that `papympi` is to offer beside its own.

    Called when the command line starts, so import lazily.
    """
    raise NotImplementedError
