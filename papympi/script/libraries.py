"""The settings of widespread libraries that hold in every worker.

Nothing here imports one of them: a setting is read where the program has loaded its library, and set in a worker once
that has it, too.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import Any, Final

from papympi.script.settings import Setting


def _module(name: str) -> Any:
    return sys.modules[name]


def _make(name: str, module: str, read: str, write: str, *, local: bool = False) -> Setting:
    """Return the setting that one function of a module returns as a dict and another takes as keywords."""

    def get() -> dict[str, Any]:
        return dict(getattr(_module(module), read)())

    def put(wanted: dict[str, Any]) -> None:
        here = get()
        changed = {option: value for option, value in wanted.items() if option in here and here[option] != value}
        if changed:  # to set all of them may be refused, or warned of
            getattr(_module(module), write)(**changed)

    return Setting(name, module, get, put, local)


_BACKENDS: Final = ("backend", "interactive", "toolbar", "webagg.", "savefig.directory", "tk.", "figure.raise_window")
"""Parameters of matplotlib that belong to the windows of the program, beginning with these words."""


def _read_figures() -> dict[str, Any]:
    """Return the parameters of figures that are not as matplotlib has them by itself."""
    matplotlib = _module("matplotlib")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some parameters are deprecated
        params, default = dict(matplotlib.rcParams.copy()), matplotlib.rcParamsDefault
        return {name: value for name, value in _of_figures(params) if value != dict.get(default, name)}


def _set_figures(wanted: dict[str, Any]) -> None:
    matplotlib = _module("matplotlib")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here, default = _read_figures(), matplotlib.rcParamsDefault
        changed = {name: value for name, value in wanted.items() if name not in here or here[name] != value}
        matplotlib.rcParams.update({**{name: default[name] for name in here if name not in wanted}, **changed})


def _of_figures(params: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in params.items() if not name.startswith(_BACKENDS))


def _walk_options(options: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the options of pandas by their full names."""
    for name in dir(options):
        value = getattr(options, name)
        if type(value) is type(options):
            yield from _walk_options(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _read_pandas() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some options are deprecated
        return dict(_walk_options(_module("pandas").options))


def _set_pandas(wanted: dict[str, Any]) -> None:
    here = _read_pandas()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in wanted.items():
            if name in here and here[name] != value:
                _module("pandas").set_option(name, value)


def _read_mpmath() -> tuple[int, int]:
    mpmath = _module("mpmath")
    return mpmath.mp.prec, mpmath.iv.prec


def _set_mpmath(precisions: tuple[int, int]) -> None:
    mpmath = _module("mpmath")
    mpmath.mp.prec, mpmath.iv.prec = precisions


def _set_torch(wanted: tuple[Any, bool]) -> None:
    torch = _module("torch")
    torch.set_default_dtype(wanted[0])
    torch.use_deterministic_algorithms(wanted[1])


SETTINGS: Final = (
    _make("numpy.errstate", "numpy", "geterr", "seterr", local=True),
    _make("numpy.printoptions", "numpy", "get_printoptions", "set_printoptions", local=True),
    _make("scipy.special.errstate", "scipy.special", "geterr", "seterr", local=True),
    Setting("matplotlib.rcParams", "matplotlib", _read_figures, _set_figures),
    Setting("options of pandas", "pandas", _read_pandas, _set_pandas),
    _make("options of xarray", "xarray", "get_options", "set_options"),
    _make("configuration of scikit-learn", "sklearn", "get_config", "set_config", local=True),
    Setting("precision of mpmath", "mpmath", _read_mpmath, _set_mpmath),
    Setting(
        "configuration of polars",
        "polars",
        lambda: str(_module("polars").Config.save()),
        lambda text: _module("polars").Config.load(str(text)),
    ),
    Setting(
        "defaults of torch",
        "torch",
        lambda: (_module("torch").get_default_dtype(), _module("torch").are_deterministic_algorithms_enabled()),
        _set_torch,
    ),
)
