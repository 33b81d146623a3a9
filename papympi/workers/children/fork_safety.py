"""Says whether what this process has loaded survives a fork: threads do not, and some libraries wait for theirs.

Merely imported, all libraries that were tried do. Used once, Polars, and what computes with GNU's or LLVM's OpenMP
(scikit-learn, PyTorch), wait in a forked copy for threads that are not there; OpenBLAS, MKL and jemalloc see to it that
theirs are made anew. Threads of OpenMP, and the one that prints tracebacks later, end when they are told to.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_OPENMP: Final = re.compile(r"/lib(?:gomp|omp|iomp5)[-.\w]*\.so[.\d]*$")
_RISKY: Final = ("polars-", "rayon", "tokio")
"""How threads are called that nobody makes anew."""
_HARD_PAUSE: Final = 2


def find_risk() -> str:
    """Return why this process should not be forked; "": nothing speaks against it."""
    extra = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if extra:
        return f"it has started the thread {extra[0]!r}"
    if "faulthandler" in sys.modules:  # a copy would wait for its thread as it ends
        sys.modules["faulthandler"].cancel_dump_traceback_later()
    libraries = list(_find_openmp())
    for library in libraries:
        _pause(library)
    names = _list_threads()
    risky = next((name for name in names if name.startswith(_RISKY)), None)
    if risky is not None:
        return f"a library has started the thread {risky!r}"
    numba = sys.modules.get("numba.np.ufunc.parallel")
    if getattr(numba, "_is_initialized", False):
        return "it has used the threads of Numba"
    if libraries and _count_active(names):
        return f"it has used the threads of {Path(libraries[0]).name}"
    return ""


def count_threads() -> int:
    """Return how many threads this process has beside its main one; 0 where that cannot be seen."""
    return max(len(_list_threads()) - 1, 0)


def _count_active(names: list[str]) -> int:
    """Return how many threads there are beside the main one and those that OpenBLAS keeps."""
    blas = sum(_count_blas(path) for path in _find_libraries(_OPENBLAS))
    return len(names) - 1 - blas


_OPENBLAS: Final = re.compile(r"/lib(?:scipy_)?openblas[-.\w]*\.so[.\d]*$")
_COUNTERS: Final = ("scipy_openblas_get_num_threads64_", "scipy_openblas_get_num_threads", "openblas_get_num_threads")


def _count_blas(path: str) -> int:
    """Return how many threads an OpenBLAS has beside the one that calls it."""
    with contextlib.suppress(OSError):
        library = ctypes.CDLL(path)
        for name in _COUNTERS:
            if hasattr(library, name):
                return max(int(getattr(library, name)()) - 1, 0)
    return 0


def _pause(path: str) -> None:
    """Let an OpenMP end its threads; it makes others when it needs them."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(path).omp_pause_resource_all(_HARD_PAUSE)


def _find_openmp() -> Iterator[str]:
    return _find_libraries(_OPENMP)


def _find_libraries(form: re.Pattern[str]) -> Iterator[str]:
    """Yield the paths of loaded libraries whose name has a certain form."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # another system
        return
    yield from dict.fromkeys(path for line in lines if form.search(path := line.rpartition(" ")[2]))


def _list_threads() -> list[str]:
    """Return the names that the kernel knows the threads of this process by."""
    names = []
    for path in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):
            names.append(path.read_text(encoding="utf-8", errors="replace").strip())
    return names
