"""Arrays that are files: what NumPy has mapped is mapped again by the other end, and not copied.

Views of a map are found by their addresses. A copy-on-write map is refused, because what was written to it is in the
memory of one process.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

from papympi.transport.blame import CannotTravelError


def reduce_array(array: Any) -> Any:
    """Return how an array is taken apart: where it is in a file if it is a map of one, else as it does it itself."""
    root = _find_map(array)
    if root is None:
        return array.__reduce_ex__(5)
    if root.mode == "c":
        raise CannotTravelError(
            array, f"a copy-on-write map of {root.filename}: what is written to it stays here", "map it in mode 'r'"
        )
    if root.mode != "r":
        root.flush()
    mode = "r" if root.mode == "r" else "r+"
    source = root.filename, mode, root.offset, root.nbytes
    begin = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    layout = array.dtype, array.shape, array.strides, begin
    return map_array, (type(array), source, layout), None if array.flags.writeable else False, None, None, _protect


def map_array(kind: type, source: tuple[Any, str, int, int], layout: tuple[Any, ...]) -> Any:
    """Return an array in a file.

    Args:
        kind: its class.
        source: the file's path, how it is mapped, where the map begins and how long it is.
        layout: the array's dtype, shape, strides and beginning in the map.

    Raises:
        OSError: there is no such file here.
        ValueError: it is too short.
    """
    import numpy

    path, mode, offset, size = source
    dtype, shape, strides, begin = layout
    whole: Any = numpy.memmap(path, "u1", mode, offset, (size,))  # type: ignore[call-overload]  # mode is one of them
    made = numpy.ndarray(shape, dtype, whole, begin, strides)
    if kind is numpy.ndarray:
        return made
    made = made.view(kind)
    vars(made).update(filename=whole.filename, offset=offset + begin, mode=mode)
    return made


def _protect(array: Any, state: bool) -> None:  # noqa: FBT001 - a pickle calls it by position
    array.flags.writeable = state


def _find_map(array: Any) -> Any:
    """Return the map of a named file that an array is, or is a view of."""
    while array is not None:
        base = getattr(array, "base", None)
        if isinstance(base, mmap.mmap):
            return array if isinstance(getattr(array, "filename", None), (str, os.PathLike)) else None
        array = base
    return None
