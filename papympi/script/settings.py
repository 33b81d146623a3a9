"""The settings of the interpreter and its library that hold in every worker: what they are, and how they are set.

A setting that the worker has already is set again all the same: it may have served another run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from papympi.errors import ShippingError
from papympi.script.imports import when_loaded


@dataclass(frozen=True, slots=True)
class Setting:
    """Something that programs set for all that follows.

    Attributes:
        name: what users call it.
        module: the module that must be loaded for it to matter.
        read: returns what it is here and now; what is changed later does not change that.
        set: makes it what it was there.
        local: it belongs to a thread or context and not to the whole process.
    """

    name: str
    module: str
    read: Callable[[], Any]
    set: Callable[[Any], object]
    local: bool = False


def _read_decimal() -> Any:
    import decimal

    context = decimal.getcontext().copy()
    context.clear_flags()
    return context


def _set_decimal(context: Any) -> None:
    import decimal

    decimal.setcontext(context.copy())


_DECIMAL_PARTS: Final = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


def _read_decimal_default() -> Any:
    import decimal

    return decimal.DefaultContext.copy()


def _set_decimal_default(context: Any) -> None:
    import decimal

    for part in _DECIMAL_PARTS:
        setattr(decimal.DefaultContext, part, getattr(context, part))
    decimal.DefaultContext.traps.update(context.traps)


class _NamedCategory(type):
    """A category of warnings that is known by its name, as the module that defines it need not be loaded here."""

    wanted: tuple[str, str]

    def __subclasscheck__(cls, category: type) -> bool:
        return any((base.__module__, base.__qualname__) == cls.wanted for base in category.__mro__)


def _read_filters() -> list[tuple[Any, ...]]:
    known: Any = warnings.filters  # `warnings` itself keeps it in a list
    return [
        (action, message, (category.__module__, category.__qualname__), module, line)
        for action, message, category, module, line in known
    ]


def _set_filters(filters: list[tuple[Any, ...]]) -> None:
    warnings.resetwarnings()
    known: Any = warnings.filters
    for action, message, name, module, line in filters:
        known.append((action, message, _find_category(*name), module, line))


def _find_category(module: str, name: str) -> Any:
    """Return a category if it is there, else one that stands for it."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and issubclass(found, Warning):
        return found
    return _NamedCategory(name, (Warning,), {"wanted": (module, name)})


def _set_warn_options(options: list[str]) -> None:
    sys.warnoptions[:] = options


def _read_levels() -> dict[str, tuple[int, bool]]:
    """Return the levels that loggers have been given, by name ("": the root), and whether they are plain loggers."""
    known = {"": logging.getLogger(), **logging.Logger.manager.loggerDict}
    loggers = {name: logger for name, logger in known.items() if isinstance(logger, logging.Logger)}
    return {
        name: (logger.level, type(logger) in {logging.Logger, logging.RootLogger})
        for name, logger in loggers.items()
        if logger.level
    }


def _set_levels(levels: dict[str, tuple[int, bool]]) -> None:
    """Give loggers their levels; what is not plain is made by its own module, and has to wait for that."""
    for name, (level, is_plain) in levels.items():
        if is_plain or isinstance(logging.Logger.manager.loggerDict.get(name), logging.Logger):
            logging.getLogger(name or None).setLevel(level)
        else:
            package = name.partition(".")[0]
            if package not in sys.modules:
                when_loaded(package, f"level of logger {name!r}", partial(_set_levels, {name: (level, False)}))


def _read_logged_warnings() -> bool:
    return getattr(warnings.showwarning, "__module__", "") == "logging"


def _read_locale() -> dict[str, str]:
    """Return the locale of every category; that of characters comes from the environment unless others were set."""
    import locale

    found = {name: locale.setlocale(getattr(locale, name)) for name in _CATEGORIES if hasattr(locale, name)}
    return {**found, "LC_CTYPE": locale.setlocale(locale.LC_CTYPE)} if set(found.values()) != {"C"} else found


_CATEGORIES: Final = ("LC_COLLATE", "LC_MONETARY", "LC_NUMERIC", "LC_TIME", "LC_MESSAGES")


def _set_locale(wanted: dict[str, str]) -> None:
    import locale

    for name, value in wanted.items():
        category = getattr(locale, name)
        try:
            if locale.setlocale(category) != value:
                locale.setlocale(category, value)
        except locale.Error as error:
            raise ShippingError(
                f"the program has set the locale {value!r}, which {os.uname().nodename} does not have; install it "
                "there, or use one that every host has, such as 'C.UTF-8'"
            ) from error


def _read_time_zone() -> str | None:
    return os.environ.get("TZ")


def _set_time_zone(zone: str | None) -> None:
    if zone is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = zone
    time.tzset()


def _read_umask() -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask:"))
    except (OSError, StopIteration):  # another system; only there other threads may see it change
        mask = os.umask(0o077)
        os.umask(mask)
        return mask


def _read_field_limit() -> int:
    import csv

    return csv.field_size_limit()


def _set_field_limit(limit: int) -> None:
    import csv

    csv.field_size_limit(limit)


def _read_socket_timeout() -> float | None:
    import socket

    return socket.getdefaulttimeout()


def _set_socket_timeout(timeout: float | None) -> None:
    import socket

    socket.setdefaulttimeout(timeout)


def _read_start_method() -> str | None:
    import multiprocessing

    method: str | None = multiprocessing.get_start_method(allow_none=True)
    return method


def _set_start_method(method: str | None) -> None:
    """Let processes of functions start as those of the runner; what is not there stays as it is."""
    import multiprocessing

    with contextlib.suppress(ValueError):
        multiprocessing.set_start_method(method, force=True)


SETTINGS: Final = (
    Setting("recursion limit", "sys", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting("digits of integers", "sys", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    Setting("decimal context", "decimal", _read_decimal, _set_decimal, local=True),
    Setting("decimal.DefaultContext", "decimal", _read_decimal_default, _set_decimal_default),
    Setting("warning filters", "warnings", _read_filters, _set_filters),
    Setting("sys.warnoptions", "sys", lambda: list(sys.warnoptions), _set_warn_options),
    Setting("levels of loggers", "logging", _read_levels, _set_levels),
    Setting("logging.disable", "logging", lambda: logging.root.manager.disable, logging.disable),
    Setting("logging.captureWarnings", "logging", _read_logged_warnings, logging.captureWarnings),
    Setting("locale", "locale", _read_locale, _set_locale),
    Setting("time zone", "time", _read_time_zone, _set_time_zone),
    Setting("umask", "os", _read_umask, os.umask),
    Setting("csv.field_size_limit", "csv", _read_field_limit, _set_field_limit),
    Setting("start method of multiprocessing", "multiprocessing", _read_start_method, _set_start_method),
    Setting("default time-out of sockets", "socket", _read_socket_timeout, _set_socket_timeout),
)
