"""`papympi submit`: run a pipeline as a job of Slurm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from papympi.cli.exits import FINE
from papympi.cli.options import invocation
from papympi.cli.run import run
from papympi.cli.words import show, tell
from papympi.launchers.slurm_fields import FIELDS, flag_of

_RAW: Final = "papympi.raw"


class Submit(click.Command):
    """A command that keeps the words it was called with, to hand on those that are for `papympi run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words, but keep them, too."""
        for word in args:
            if word.partition("=")[0] == "--ranks":
                raise click.UsageError("--ranks starts ranks on one host; a job has --nodes and --tasks-per-node", ctx)
        ctx.meta[_RAW] = list(args)
        return super().parse_args(ctx, args)


def _callback(ctx: click.Context, target: str, run_dir: str | None, **flags: Any) -> int:
    """Do what was asked for."""
    from papympi.jobs.submission import describe, prepare, submit

    raw, _, _ = ctx.command.make_parser(ctx).parse_args(list(ctx.meta[_RAW]))
    given = {name: raw[name] for name in FIELDS if name in raw}
    if (loose := sorted(given.keys() & {"signal", "lead", "requeues"})) and not flags["until_done"]:
        raise click.UsageError(f"{flag_of(loose[0])} goes with --until-done", ctx)
    arguments = pass_on(raw, invocation(ctx).blocked)
    made = prepare(target, arguments, given, run_dir=run_dir, until_done=flags["until_done"])
    for note in made.notes:
        tell(f"papympi: {note}")
    if flags["dry_run"]:
        click.echo(made.text.encode("utf-8", "surrogateescape"), nl=False)
        return FINE
    number = submit(made)
    show(number)
    tell("\n".join(["submitted", *(f"  {line}" for line in describe(made, number))]))
    return FINE


def pass_on(raw: Mapping[str, Any], blocked: Sequence[str]) -> list[str]:
    """Return the words for `papympi run`, from what click's parser has made of the whole command line."""
    words = []
    for option in _run_options():
        name = str(option.name)
        if name not in raw or name == "plugins":
            continue
        if option.is_flag:
            words.append(option.opts[0] if raw[name] else option.secondary_opts[0])
            continue
        for value in raw[name] if option.multiple else [raw[name]]:
            words += [option.opts[0], value]
    return [*words, *(word for name in blocked for word in ("-p", f"no:{name}"))]


def _job_options() -> list[click.Option]:
    """Return the options that say what the job needs."""
    return [
        click.Option([flag_of(name), name], metavar=field.metavar, multiple=field.many, help=field.help)
        for name, field in FIELDS.items()
    ]


def _run_options() -> list[click.Option]:
    """Return the options of `papympi run` that are handed on."""
    ours = {*map(flag_of, FIELDS), "--run-dir", "--until-done", "--dry-run", "--ranks"}
    return [option for option in run.params if isinstance(option, click.Option) and not ours & set(option.opts)]


submit = Submit(
    "submit",
    callback=click.pass_context(_callback),
    help=(
        "Run a pipeline as a job of Slurm: takes the options of `papympi run`, and says what the job needs.\n\n"
        "Prints the number of the job. Defaults of a site stand in papympi.toml under [submit]."
    ),
    epilog=run.epilog,
    params=[
        *(parameter for parameter in run.params if isinstance(parameter, click.Argument)),
        *_job_options(),
        click.Option(["--run-dir"], metavar="DIR", help="Keep finished results there. Default, if needed: NAME.run."),
        click.Option(["--until-done"], is_flag=True, help="Requeue the job at its time limit, until no work is left."),
        click.Option(["--dry-run"], is_flag=True, help="Only show the batch script."),
        *_run_options(),
    ],
)
