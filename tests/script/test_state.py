"""Settings that a program has made hold on every pool, and nowhere else."""

from __future__ import annotations

import contextlib
import csv
import decimal
import locale
import logging
import multiprocessing
import os
import socket
import sys
import threading
import time
import warnings
from contextvars import ContextVar

import loky
import numpy as np
import pytest

import papympi
from papympi import PapympiWarning, ShippingError
from papympi.plan.program import Program
from papympi.script import state
from papympi.script.state import apply_state
from papympi.testing.driver import of_two
from papympi.transport.payload import Payload

answer: ContextVar[str] = ContextVar("answer", default="nobody")
other: ContextVar[str] = ContextVar("other", default="nobody")


class Odd(Warning):
    """A category of this module."""


def count_depth(number):
    return 0 if number == 0 else 1 + count_depth(number - 1)


def divide():
    try:
        return str(np.ones(1) / 0)
    except FloatingPointError:
        return "raised"


def warn(text, category):
    try:
        warnings.warn(text, category, stacklevel=1)
    except Warning as warning:
        return type(warning).__name__
    return "passed"


def read_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_start_method():
    return multiprocessing.get_start_method(allow_none=True)


def set_start_method(method):
    multiprocessing.set_start_method(method, force=True)


LOOKS = {
    "recursion": lambda: count_depth(2500),
    "digits": lambda: len(str(10**5000)),
    "decimal precision": lambda: len(str(decimal.Decimal(1) / 3)),
    "decimal rounding": lambda: str(decimal.Decimal("2.25").quantize(decimal.Decimal("0.1"))),
    "decimal traps": lambda: str(decimal.Decimal(1) / 0),
    "numpy divides": divide,
    "numpy prints": lambda: str(np.array([1 / 3])),
    "ignored": lambda: warn("this label is missing", UserWarning),
    "an error": lambda: warn("odd", Odd),
    "sys.warnoptions": lambda: sys.warnoptions[-1:],
    "level": lambda: logging.getLogger("tests.script.level").level,
    "sibling's level": lambda: logging.getLogger("tests.script.sibling").level,
    "disabled": lambda: logging.root.manager.disable,
    "locale": lambda: locale.setlocale(locale.LC_TIME),
    "time zone": lambda: time.strftime("%H", time.localtime(0)),
    "umask": read_umask,
    "fields": csv.field_size_limit,
    "time-out of sockets": socket.getdefaulttimeout,
    "start method": multiprocessing.get_start_method,
    "context variable": answer.get,
    "another": other.get,
}

EXPECTED = {
    "recursion": 2500,
    "digits": 5001,
    "decimal precision": 42,
    "decimal rounding": "2.3",
    "decimal traps": "Infinity",
    "numpy divides": "raised",
    "numpy prints": "[0.33]",
    "ignored": "passed",
    "an error": "Odd",
    "sys.warnoptions": ["ignore::ResourceWarning"],
    "level": 17,
    "sibling's level": 18,
    "disabled": 5,
    "locale": "C.UTF-8",
    "time zone": "03",
    "umask": 0o027,
    "fields": 1 << 20,
    "time-out of sockets": 7.5,
    "start method": "forkserver",
    "context variable": "me",
    "another": "nobody",
}


def look(item):
    return LOOKS[item]()


@contextlib.contextmanager
def everything_set(monkeypatch):
    """Set everything for a while."""
    with contextlib.ExitStack() as undo:
        for get, put, value in (
            (sys.getrecursionlimit, sys.setrecursionlimit, 4000),
            (sys.get_int_max_str_digits, sys.set_int_max_str_digits, 6000),
            (csv.field_size_limit, csv.field_size_limit, 1 << 20),
            (socket.getdefaulttimeout, socket.setdefaulttimeout, 7.5),
            (read_start_method, set_start_method, "forkserver"),
            (read_umask, os.umask, 0o027),
            (lambda: logging.root.manager.disable, logging.disable, 5),
            (lambda: locale.setlocale(locale.LC_TIME), lambda name: locale.setlocale(locale.LC_TIME, name), "C.UTF-8"),
        ):
            undo.callback(put, get())
            put(value)
        for name, level in (("tests.script.level", 17), ("tests.script.sibling", 18)):
            undo.callback(logging.getLogger(name).setLevel, 0)
            logging.getLogger(name).setLevel(level)
        context = undo.enter_context(decimal.localcontext())
        context.prec, context.rounding, context.traps[decimal.DivisionByZero] = 40, decimal.ROUND_HALF_UP, False
        undo.enter_context(np.errstate(divide="raise"))
        undo.enter_context(np.printoptions(precision=2))
        undo.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message="this .* is missing")
        warnings.filterwarnings("error", category=Odd)
        undo.callback(sys.warnoptions.pop)
        sys.warnoptions.append("ignore::ResourceWarning")
        undo.callback(time.tzset)
        undo.callback(monkeypatch.undo)
        monkeypatch.setenv("TZ", "XYZ-3")
        time.tzset()
        undo.callback(answer.reset, answer.set("me"))
        yield


def test_settings_hold_on_every_pool(any_pool, call, monkeypatch):
    _, pools = any_pool
    with everything_set(monkeypatch):
        found = call(look, list(LOOKS), pools, stride=64)
    assert dict(zip(LOOKS, found, strict=True)) == EXPECTED


def precision(item):
    return len(str(decimal.Decimal(1) / 3)) - 2


def test_first_result_decides(pool):
    """What holds is what held when the first result was asked for."""
    results = papympi.map(lambda _: decimal.getcontext().prec, range(2), pool=of_two(pool), stride=2)
    with decimal.localcontext(prec=11):
        assert list(results) == [11, 11]


def spoil(item):
    decimal.getcontext().prec = 3
    np.seterr(all="ignore")
    answer.set("somebody")
    return threading.get_ident()


@pytest.mark.parametrize("kind", ["threads:2", "asyncio"])
def test_threads_keep_it_to_themselves(kind, call):
    with np.errstate(divide="raise"), decimal.localcontext(prec=9) as context:
        token = answer.set("me")
        call(spoil, range(4), {"pool": kind})
        assert (context.prec, np.geterr()["divide"], answer.get()) == (9, "raise", "me")
        answer.reset(token)


def test_workers_of_the_next_run(call):
    """Processes that serve one run after the other have the settings of the one that they serve."""
    with loky.ProcessPoolExecutor(1) as executor:
        for prec in (20, 9, 28):
            with decimal.localcontext(prec=prec):
                assert call(precision, [0], {"pool": executor}) == [prec]


def divide_late(item):
    import numpy

    return divide() if numpy else None


def test_library_that_comes_late(pool):
    """A worker has NumPy only when the function imports it; the settings are there all the same."""
    code = "def f(item):\n    import numpy\n    return float(numpy.ones(1)[0] / numpy.zeros(1)[0])\n"
    names = {"__name__": "__main__"}
    exec(code, names)
    with np.errstate(divide="raise"):
        (found,) = papympi.map(names["f"], [0], pool=of_two(pool), errors="keep")
    assert type(found.error) is FloatingPointError


def warn_of_late(item):
    import late_category

    warnings.warn("late", late_category.Late, stacklevel=1)
    return "passed"


def test_category_that_comes_late(pool, call, project, monkeypatch):
    """A filter for a category whose module the worker has not loaded yet."""
    (project / "late_category.py").write_text("class Late(Warning):\n    pass\n\nclass Later(Late):\n    pass\n")
    monkeypatch.syspath_prepend(str(project))
    import late_category

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", late_category.Late)
        (found,) = call(warn_of_late, [0], {"pool": of_two(pool)}, errors="keep")
    assert type(found.error).__name__ == "Late"
    sys.modules.pop("late_category")


LOGGER = """
import logging

class OwnLogger(logging.Logger):
    def own(self):
        return self.level

before = logging.getLoggerClass()
logging.setLoggerClass(OwnLogger)
log = logging.getLogger("own_log")
logging.setLoggerClass(before)
"""


def ask_logger(item):
    import own_log

    return own_log.log.own()


def test_loggers_of_their_own_class(pool, call, project, monkeypatch):
    """A module that makes its logger of a class of its own finds none there before it."""
    (project / "own_log.py").write_text(LOGGER)
    monkeypatch.syspath_prepend(str(project))
    import own_log

    own_log.log.setLevel(13)
    assert call(ask_logger, [0], {"pool": of_two(pool)}) == [13]
    logging.Logger.manager.loggerDict.pop("own_log")
    sys.modules.pop("own_log")


def test_missing_locale_is_named():
    program = Program(state={"locale": Payload([{"LC_TIME": "tlh_QO"}])})
    with pytest.raises(ShippingError, match=r"the locale 'tlh_QO', which \S+ does not have; install it there"):
        apply_state(program)


held: ContextVar[object] = ContextVar("held")


def use_held(item):
    return held.get() is not None


@pytest.mark.parametrize("kind", ["processes:2", "mpi:2"])
def test_variable_that_cannot_be_sent(kind, call):
    """It is refused if a node needs it; others do not care."""
    token = held.set(number for number in range(3))
    try:
        assert call(precision, [0], {"pool": kind}) == [28]
        with pytest.raises(ShippingError, match="node 'called': context variable 'held' holds a value .*generator"):
            call(use_held, [0], {"pool": kind})
        assert call(use_held, [0], {"pool": "threads"}) == [True]
    finally:
        held.reset(token)


def test_setting_that_cannot_be_sent(call):
    """It is left out, and said."""
    numbers = (number for number in range(3))
    with (
        np.printoptions(formatter={"float": lambda value: f"{next(numbers)} {value}"}),
        pytest.warns(PapympiWarning, match=r"numpy.printoptions: workers do without it.*@papympi.setup"),
    ):
        assert call(precision, [0], {"pool": "processes:1"}) == [28]


def test_all_settings_have_names():
    names = [setting.name for setting in state.SETTINGS]
    assert len(names) == len(set(names))
