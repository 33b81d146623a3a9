"""Exceptions on their way to another process: some cannot be pickled, some are and never come out again."""

from __future__ import annotations

from papympi.errors import RemoteError


def make_portable(error: BaseException) -> BaseException:
    """Return the exception if a pickle of it comes back as the same kind, else a `RemoteError` that stands for it."""
    try:
        copy = _carry(error)
    except RemoteError as stand_in:
        return stand_in
    return error if type(copy) is type(error) else _stand_in(error)


def _carry(error: BaseException) -> BaseException:
    """Return what comes out of a pickle of `error`; raise what stands for it if nothing does."""
    import pickle

    try:
        copy: BaseException = pickle.loads(pickle.dumps(error, 5))
    except Exception as refusal:
        raise _stand_in(error) from refusal
    return copy


def _stand_in(error: BaseException) -> RemoteError:
    import traceback

    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    text = traceback.format_exception_only(error)[-1].strip()  # whatever its `str` does
    return RemoteError(kind, text.removeprefix(kind).removeprefix(type(error).__qualname__).removeprefix(": "))
