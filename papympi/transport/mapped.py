"""Arrays that are files: what NumPy has mapped is mapped again by the other end, and not copied.

Views of a map are found by their addresses. A copy-on-write map is refused, because what was written to it is in the
memory of one process.
"""

from __future__ import annotations

import mmap
import os
import pickle
from typing import Any


def reduce_array(array: Any) -> Any:
    """Return how an array is taken apart: where it is in a file if it is a map of one, else as it does it itself."""
    root = _find_map(array)
    if root is None:
        return array.__reduce_ex__(5)
    if root.mode == "c":
        raise pickle.PicklingError(
            f"a copy-on-write map of {root.filename}: what is written to it stays here; use mode 'r'"
        )
    if root.mode != "r":
        root.flush()
    mode = "r" if root.mode == "r" else "r+"
    source = os.fspath(root.filename), mode, root.offset, root.nbytes
    begin = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return map_array, (type(array), source, array.dtype, array.shape, array.strides, begin, array.flags.writeable)


def map_array(  # noqa: PLR0913 -- a pickle calls it by position
    kind: type,
    source: tuple[str, str, int, int],
    dtype: Any,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    begin: int,
    writeable: bool,  # noqa: FBT001 - see above
) -> Any:
    """Return an array in a file.

    Raises:
        OSError: there is no such file here.
        ValueError: it is too short.
    """
    import numpy

    path, mode, offset, size = source
    whole = numpy.memmap(path, dtype="u1", mode=mode, offset=offset, shape=(size,))  # type: ignore[call-overload]
    made = numpy.ndarray(shape, dtype, whole, begin, strides)
    if kind is not numpy.ndarray:
        made = made.view(kind)
        made.__dict__.update(filename=whole.filename, offset=offset + begin, mode=mode, _mmap=whole._mmap)
    made.flags.writeable = writeable
    return made


def _find_map(array: Any) -> Any:
    """Return the map of a named file that an array is, or is a view of."""
    while array is not None:
        base = getattr(array, "base", None)
        if isinstance(base, mmap.mmap):
            return array if isinstance(getattr(array, "filename", None), (str, os.PathLike)) else None
        array = base
    return None
