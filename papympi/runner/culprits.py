"""Which pool is to blame for an exception that is not the user's: its name belongs into the message."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from papympi.contracts import Pool
from papympi.errors import PapympiError, PoolError


@contextmanager
def name_pool(name: str, pool: Pool, method: str) -> Iterator[None]:
    """Turn what a method of a pool raises within the block into a `PoolError` that names both."""
    try:
        yield
    except PapympiError:
        raise
    except Exception as error:
        raise _explain(name, pool, method, error) from error


def find_culprit(error: Exception, pools: Mapping[str, Pool]) -> PoolError | None:
    """Return the error that names the pool whose method raised, if one of some pools did and has not said so itself."""
    if isinstance(error, PapympiError):
        return None
    names = {id(pool): name for name, pool in pools.items()}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        pool = frame.f_locals.get("self")
        if id(pool) in names:
            return _explain(names[id(pool)], pools[names[id(pool)]], frame.f_code.co_name, error)
    return None


def _explain(name: str, pool: Pool, method: str, error: Exception) -> PoolError:
    kind = type(pool)
    return PoolError(
        f"pool {name!r}: {method} raised {type(error).__name__}: {error}; no node is to blame but the pool itself "
        f"({kind.__module__}.{kind.__qualname__}), `--pool {name}=processes` takes its place"
    )
