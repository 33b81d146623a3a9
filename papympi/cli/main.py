"""The command `papympi` and its sub-commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any

import click

from papympi.cli.exits import FINE, guard
from papympi.cli.options import Invocation, block_plugins, invocation
from papympi.errors import did_you_mean
from papympi.runner.launch import launched_ranks, rank_main, read_drain_signal

COMMANDS = {
    "run": ("run", "Run a pipeline."),
    "submit": ("submit", "Run a pipeline as a job of Slurm."),
    "status": ("run_directories", "Say how far a run is that has a run directory."),
    "failures": ("run_directories", "List what failed in a run, in groups."),
    "replay": ("replay", "Repeat one item that failed, in this process."),
    "cancel": ("run_directories", "Stop a run; it can be resumed."),
    "merge": ("run_directories", "Join the results of runs over shares of the inputs."),
    "plan": ("inspection", "Show how a pipeline would run: its stages, and why each ends where it does."),
    "graph": ("inspection", "Draw the graph of a pipeline."),
    "plugins": ("inspection", "List the plugins, and where they come from."),
    "doctor": ("inspection", "Say what this installation can do, what is missing, and how to get it."),
}
"""For each its module in `papympi.cli`, imported when it is called, and its line on the help page."""


class Commands(click.Group):
    """The sub-commands: papympi's own, then those of plugins. Only the one that is called is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names for the help page."""
        return [*COMMANDS, *sorted(_plugin_commands(ctx))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return one command."""
        if cmd_name in COMMANDS:
            module, _ = COMMANDS[cmd_name]
            command: click.Command = getattr(import_module(f"papympi.cli.{module}"), cmd_name)
            return command
        offered = _plugin_commands(ctx)
        if cmd_name not in offered:
            known = [*COMMANDS, *offered]
            raise click.UsageError(f"no such command: {cmd_name!r}{did_you_mean(cmd_name, known)}", ctx)
        return offered[cmd_name]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their summaries, without importing papympi's own."""
        rows = [(name, summary) for name, (_, summary) in COMMANDS.items()]
        rows += [(name, found.get_short_help_str()) for name, found in sorted(_plugin_commands(ctx).items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _plugin_commands(ctx: click.Context) -> dict[str, click.Command]:
    """Return the commands that plugins offer, by name; papympi's own cannot be replaced."""
    from papympi.runner.plugins import plugin_manager

    offers = plugin_manager(invocation(ctx).blocked).hook.papympi_commands()
    found = {str(command.name): command for offer in offers for command in offer}
    return {name: command for name, command in found.items() if name not in COMMANDS}


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="papympi", message="papympi %(version)s")
@block_plugins
@click.pass_context
def papympi(ctx: click.Context, /) -> None:
    """Run pipelines of plain Python functions, from a laptop to a cluster.

    Exit codes: 0 all went well (or as --accept-failures says), 1 something failed,
    2 a mistake in the command, the pipeline or its inputs,
    75 work remains in the run directory: go on with --resume,
    130 ended by Ctrl-C, 143 ended by SIGTERM, 141 nobody reads the output any more.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. Under a launcher rank 0 runs it, and the other ranks serve it."""
    command = partial(_call, list(sys.argv[1:] if arguments is None else arguments), is_process=arguments is None)
    if not launched_ranks():
        return guard(command)
    return guard(partial(rank_main, partial(guard, command)))


def _call(arguments: list[str], *, is_process: bool) -> int:
    """Let click do its work, but raise what goes wrong."""
    read_drain_signal()  # and take it out of the environment, where it is no option
    try:
        with papympi.make_context("papympi", list(arguments), obj=Invocation(tuple(arguments), is_process)) as ctx:
            code: Any = papympi.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    return code if isinstance(code, int) else FINE
