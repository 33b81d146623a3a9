"""The options of a run, in one frozen record: defaults <- file <- environment <- command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from papympi.errors import OptionError, did_you_mean, find_close
from papympi.model.failure_limit import FailureLimit
from papympi.plan.plan import Stride
from papympi.runner.pooling import PoolSpec, parse_pool, parse_table
from papympi.workers.host import parse_size

FILE: Final = "papympi.toml"
PREFIX: Final = "PAPYMPI_"
OURS: Final = frozenset({"cluster", "cluster_port", "drain_on", "exit_file", "without_children"})
"""What else is said by variables with that prefix, to other parts of papympi and to the cluster of its tests."""
JOB_PREFIX: Final = "submit_"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a user can set for all runs of a project, for one shell, or for one run.

    Attributes:
        pool: name of the pool of nodes that name none; `None`: "mpi" under mpiexec, else "processes".
        pools: pools by name, from the tables of the file.
        overrides: pools that take the place of others, whatever the file and `run(pools=...)` say; "*" is for all.
        strides: by node name.
        admission: how many items may be in the graph at once; `None`: as many as keep the workers busy.
        admission_bytes: about how many bytes they may have; `None`: a quarter of the memory that there is.
        fusion: adjacent nodes become one stage where they can.
        seed: what the items' seeds are derived from.
        max_failures: how many failures, or which share of the calls of a node, are let pass; `None`: any number.
        accept_failures: how many the command line accepts with exit code 0; `None`: none.
        progress: the command line shows how far the run is; `None`: it does.
        block: names of plugins that are not loaded.
        submit: what `papympi submit` asks Slurm for, by the names of `slurm_fields.FIELDS`.
        file: the file that was read, if there is one.
    """

    pool: str | None = None
    pools: Mapping[str, PoolSpec] = field(default_factory=dict)
    overrides: Mapping[str, PoolSpec] = field(default_factory=dict)
    strides: Mapping[str, Stride] = field(default_factory=dict)
    admission: int | None = None
    admission_bytes: int | None = None
    fusion: bool = True
    seed: int = 0
    max_failures: FailureLimit | None = None
    accept_failures: FailureLimit | None = None
    progress: bool | None = None
    block: tuple[str, ...] = ()
    submit: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None


def read_options(start: Path | None = None, environment: Mapping[str, str] | None = None, **given: Any) -> RunOptions:
    """Return the options of a run.

    Args:
        start: the pipeline file or a folder: the nearest `papympi.toml`, or `pyproject.toml` with a table
            `[tool.papympi]`, there or further up is read. Default: the current folder.
        environment: where `PAPYMPI_*` variables are; default: the environment of the process.
        given: values from the command line, by the names of `RunOptions`; `None` means not given. Mappings are merged.

    Raises:
        OptionError: a name that does not exist or a value that is impossible; says where it stands.
    """
    options = RunOptions()
    path = find_file(Path.cwd() if start is None else start)
    if path is not None:
        options = replace(_merge(options, _read_file(path)), file=path)
    options = _merge(options, _read_environment(os.environ if environment is None else environment))
    return _merge(options, {name: value for name, value in given.items() if value is not None})


def override(options: RunOptions, **given: Any) -> RunOptions:
    """Return the options with those that a call of `run` gives itself, by their names; `None` means not given."""
    values = [(name, value) for name, value in given.items() if value is not None]
    return replace(options, **{name: _checked(_CHECKS[name], value, f"{name}={value!r}") for name, value in values})


def find_file(start: Path) -> Path | None:
    """Return the nearest file with options, in the folder of `start` or above it."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (path := folder / FILE).is_file():
            _check_owner(path)
            return path
        path = folder / "pyproject.toml"
        if path.is_file() and "papympi" in _parse(path).get("tool", {}):
            _check_owner(path)
            return path
    return None


def _check_owner(path: Path) -> None:
    """Refuse options of somebody else, who may have put the file above the pipeline: they decide what is run."""
    owner = path.stat().st_uid
    if owner not in {0, os.geteuid()}:
        raise OptionError(
            f"{path} belongs to another user (number {owner}), and what it sets decides what is run: "
            "copy it to the folder of the pipeline, if you want what it says"
        )


def parse_stride(text: str) -> dict[str, Stride]:
    """Return the strides that `NODE=N` or `NODE=auto` sets; several are separated by commas."""
    strides: dict[str, Stride] = {}
    for part in filter(None, text.split(",")):
        node, _, number = (word.strip() for word in part.partition("="))
        if not node or not (number == "auto" or (number.isdecimal() and int(number) > 0)):
            raise OptionError(f"{part!r} is not of the form NODE=N, with N at least 1 or auto")
        strides[node] = number if number == "auto" else int(number)  # type: ignore[assignment]  # it is "auto"
    return strides


def _parse(path: Path) -> dict[str, Any]:
    """Return what a TOML file says."""
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise OptionError(f"{path} cannot be read: {error}") from error


def _merge(options: RunOptions, values: Mapping[str, Any]) -> RunOptions:
    """Return the options with new values: mappings and names to block are added to, the rest takes the place."""
    merged = dict(values)
    for name in ("pools", "overrides", "strides", "submit"):
        if name in values:
            merged[name] = {**getattr(options, name), **values[name]}
    if "block" in values:
        merged["block"] = tuple(dict.fromkeys((*options.block, *values["block"])))
    return replace(options, **merged)


def _read_file(path: Path) -> dict[str, Any]:
    """Return the options that a file sets."""
    document = _parse(path)
    table = document if path.name == FILE else document["tool"]["papympi"]
    values = {}
    for key, value in table.items():
        if key not in _CHECKS:
            raise OptionError(f"{path}: there is no option {key!r}{did_you_mean(key, _CHECKS)}")
        values[key] = _checked(_CHECKS[key], value, f"{path}: {key}")
    return values


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the options that the environment sets.

    A variable that is not known here is left alone, as it may be another program's, unless it looks like a slip.
    """
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        key = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and key.startswith(JOB_PREFIX):
            values["submit"] = {**values.get("submit", {}), **_job_entry(key.removeprefix(JOB_PREFIX), text, variable)}
        elif variable.startswith(PREFIX) and key in _PARSERS:
            values["overrides" if key == "pools" else key] = _checked(_PARSERS[key], text, variable)
        elif variable.startswith(PREFIX) and key not in OURS and (meant := find_close(key, _PARSERS)):
            raise OptionError(
                f"there is no environment variable {variable!r}; did you mean {PREFIX + meant.upper()!r}?"
            )
    return values


def _checked(check: Callable[[Any], Any], value: Any, place: str) -> Any:
    """Return the value as the check makes it; what it finds wrong is said with the place."""
    try:
        return check(value)
    except OptionError as error:
        raise OptionError(f"{place}: {error}") from error


def _text(value: Any) -> str:
    """Return a name."""
    if not isinstance(value, str) or not value:
        raise OptionError(f"{value!r} is not a name")
    return value


def _switch(value: Any) -> bool:
    """Return a truth value."""
    if not isinstance(value, bool):
        raise OptionError(f"{value!r} is neither true nor false")
    return value


def _whole(least: int, value: Any) -> int:
    """Return a whole number of at least so much."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise OptionError(f"{value!r} is not a whole number of at least {least}")
    return value


def check_bytes(value: Any) -> int:
    """Return how many bytes the items in the graph may have, from a number or a text such as "4 GB"."""
    size = parse_size(value)
    if size < 1:
        raise OptionError(f"{value!r} lets nothing in; it is at least one byte")
    return size


def _names(value: Any) -> tuple[str, ...]:
    """Return a list of names."""
    if not isinstance(value, list):
        raise OptionError(f"{value!r} is not a list of names")
    return tuple(_text(name) for name in value)


def _tables(value: Any) -> dict[str, PoolSpec]:
    """Return pools by name from their tables."""
    if not isinstance(value, dict):
        raise OptionError(f"{value!r} is not a table of pools")
    return {name: parse_table(name, table) for name, table in value.items()}


def _job(value: Any) -> dict[str, Any]:
    """Return what a job asks for from a table."""
    if not isinstance(value, dict):
        raise OptionError(f"{value!r} is not a table of options of a job")
    return {key: entry for name, given in value.items() for key, entry in _job_entry(name, given, name).items()}


def _job_entry(name: str, value: Any, place: str) -> dict[str, Any]:
    """Return one option of a job by its name."""
    from papympi.launchers.slurm_job import check_field

    return {name: check_field(name, value, place)}


def _strides(value: Any) -> dict[str, Stride]:
    """Return strides by node name from a table."""
    if not isinstance(value, dict):
        raise OptionError(f"{value!r} is not a table of strides")
    return {node: stride if stride == "auto" else _whole(1, stride) for node, stride in value.items()}


def _switch_text(text: str) -> bool:
    """Return a truth value from the environment."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise OptionError(f"{text!r} is neither 1 nor 0")
    return words[text.lower()]


def _whole_text(least: int, text: str) -> int:
    """Return such a number from the environment."""
    return _whole(least, int(text) if text.isdecimal() else text)


def _names_text(text: str) -> tuple[str, ...]:
    """Return names that are separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _overrides_text(text: str) -> dict[str, PoolSpec]:
    """Return pools that are separated by commas."""
    specs = [parse_pool(part.strip()) for part in text.split(",") if part.strip()]
    return {spec.name: spec for spec in specs}


_CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "pool": _text,
    "pools": _tables,
    "strides": _strides,
    "admission": partial(_whole, 1),
    "admission_bytes": check_bytes,
    "fusion": _switch,
    "seed": partial(_whole, 0),
    "max_failures": FailureLimit.parse,
    "accept_failures": FailureLimit.parse,
    "progress": _switch,
    "block": _names,
    "submit": _job,
}
"""What a file may say, and what checks it."""

_PARSERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "pool": _text,
    "pools": _overrides_text,
    "strides": parse_stride,
    "admission": partial(_whole_text, 1),
    "admission_bytes": check_bytes,
    "fusion": _switch_text,
    "seed": partial(_whole_text, 0),
    "max_failures": FailureLimit.parse,
    "accept_failures": FailureLimit.parse,
    "progress": _switch_text,
    "block": _names_text,
}
"""What the environment may say behind `PAPYMPI_`, and what reads it."""
