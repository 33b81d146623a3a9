"""From the names of pools to pools: tables, overrides, given objects, backends; and which one raised an exception."""

from __future__ import annotations

import errno
import inspect
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from papympi.contracts import Backend, Pool
from papympi.errors import OptionError, PapympiError, PoolError, did_you_mean
from papympi.model.telling import tell_error
from papympi.plan.program import Program, ResourceSpec
from papympi.pools.executor import ExecutorPool
from papympi.pools.members import MembersPool
from papympi.pools.sharing import SharedPool
from papympi.runner.plugins import collect_offers, find_backend
from papympi.workers.cpus import count_cpus

if TYPE_CHECKING:
    from pluggy import PluginManager

_INITIALIZER: Final = frozenset({"initializer", "initargs"})
"""Options of every pool that a backend makes, as executors have them."""
MOST_WORKERS: Final = 100_000
"""Of a pool whose workers are each a process or thread; local ones may be fewer."""
ALL = "*"
"""The name of the override that takes the place of every pool."""


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """How to make a pool: a backend with options, or members.

    Attributes:
        name: the pool's name in the graph.
        backend: name of a backend; of an override it may be the name of a table.
        options: what the backend is given.
        members: names of pools whose workers are pooled; then there is neither backend nor options.
    """

    name: str
    backend: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    members: tuple[str, ...] = ()


Given = Pool | Executor | str | Mapping[str, Any]
"""What `run(pools={name: ...})` takes: a pool, an executor, `"processes:4"`, or what a pool's table may hold."""


def parse_pool(text: str) -> PoolSpec:
    """Return the pool that `NAME=BACKEND` or `NAME=BACKEND:WORKERS` describes; the name "*" is for all pools."""
    name, _, rest = (part.strip() for part in text.partition("="))
    backend, colon, workers = rest.partition(":")
    if not name or not backend or (colon and not (workers.isdecimal() and int(workers) > 0)):
        raise OptionError(f"{text!r} is not of the form NAME=BACKEND or NAME=BACKEND:WORKERS, e.g. mpi=processes:4")
    return PoolSpec(name, backend, {"workers": int(workers)} if colon else {})


def parse_table(name: str, table: Any) -> PoolSpec:
    """Return the pool that a table `[pools.NAME]` describes; by default the name is that of the backend."""
    if not isinstance(table, Mapping):
        raise OptionError(f'pool {name!r}: {table!r} is not a table, e.g. {{ backend = "processes", workers = 4 }}')
    options = dict(table)
    members = options.pop("members", None)
    if members is None:
        backend = options.pop("backend", name)
        if not isinstance(backend, str):
            raise OptionError(f"pool {name!r}: the backend {backend!r} is not a name")
        return PoolSpec(name, backend, options)
    if options:
        raise OptionError(f"pool {name!r}: members cannot stand beside {', '.join(map(repr, options))}")
    if not isinstance(members, list | tuple) or not members or not all(isinstance(member, str) for member in members):
        raise OptionError(f"pool {name!r}: members is {members!r}, not a list of names of pools")
    return PoolSpec(name, members=tuple(members))


def open_pools(
    names: Iterable[str],
    manager: PluginManager,
    *,
    tables: Mapping[str, PoolSpec] | None = None,
    given: Mapping[str, Given] | None = None,
    overrides: Mapping[str, PoolSpec] | None = None,
) -> dict[str, Pool]:
    """Return a pool for each name, made and not yet opened.

    Args:
        names: the pools that a plan needs.
        manager: knows the backends; a name that stands nowhere else is a backend's.
        tables: pools from the file.
        given: pools from `run(pools=...)`; they come before the tables.
        overrides: pools from `--pool` and the environment; they come before everything. What one names as its backend
            may be another pool. The override "*" is for every pool that no other override names.

    Raises:
        PoolError: a pool or backend that does not exist, or a pool that is a member of itself.
        OptionError: an option that a backend does not have, or something given that is no pool.
    """
    specs: dict[str, PoolSpec | Pool | Executor] = dict(tables or {})
    specs.update((name, _to_spec(name, value)) for name, value in (given or {}).items())
    maker = _PoolMaker(specs, overrides or {}, manager)
    names = list(names)
    for name in names:
        maker.count(name)
    return {name: maker.make(name) for name in names}


def _to_spec(name: str, value: Given) -> PoolSpec | Pool | Executor:
    """Return what `run(pools={name: value})` means."""
    if isinstance(value, str):
        return parse_pool(f"{name}={value}")
    if isinstance(value, Mapping):
        return parse_table(name, value)
    if isinstance(value, Executor) or all(hasattr(value, method) for method in ("submit", "collect", "fileno")):
        return value
    raise OptionError(f"pool {name!r}: {value!r} is neither a pool nor an executor nor the description of one")


class _PoolMaker:
    """Makes pools by name."""

    def __init__(
        self,
        specs: Mapping[str, PoolSpec | Pool | Executor],
        overrides: Mapping[str, PoolSpec],
        manager: PluginManager,
    ) -> None:
        self._specs = specs
        self._overrides = overrides
        self._manager = manager
        self._asked: Counter[str] = Counter()
        self._shared: dict[str, SharedPool] = {}

    def count(self, name: str, above: tuple[str, ...] = ()) -> None:
        """Note that a pool will be made, so that those are known of which there will be several."""
        spec = self._find(name, member=bool(above))
        if isinstance(spec, PoolSpec) and name not in above:
            for member in spec.members:
                self.count(member, (*above, name))
            self._asked[_sign(spec)] += 1

    def make(self, name: str, above: tuple[str, ...] = ()) -> Pool:
        """Return the pool of that name; `above` are the pools that it is a member of."""
        if name in above:
            raise PoolError(f"pool {name!r} is a member of itself: {' -> '.join((*above, name))}")
        spec = self._find(name, member=bool(above))
        if isinstance(spec, PoolSpec) and not _INITIALIZER.isdisjoint(spec.options):
            spec, setup = _take_initializer(spec)
            return _add_setup(self._make(name, spec, above), setup)
        return self._make(name, spec, above)

    def _make(self, name: str, spec: PoolSpec | Pool | Executor, above: tuple[str, ...]) -> Pool:
        """Return the pool that stands behind a name."""
        if isinstance(spec, Executor):
            return ExecutorPool(name, spec, count_cpus(), owned=False)
        if not isinstance(spec, PoolSpec):
            return spec
        if spec.members:
            return MembersPool(name, [self.make(member, (*above, name)) for member in spec.members])
        backend = find_backend(self._manager, spec.backend)
        if backend is None:
            raise PoolError(self._unknown(name, spec.backend))
        _check_options(spec, backend)
        if backend.must_share is None or not backend.must_share(spec.options, self._asked[_sign(spec)]):
            return _make_own(name, spec, backend)
        shared = self._shared.get(_sign(spec))
        if shared is None:
            shared = self._shared[_sign(spec)] = SharedPool(_make_own(spec.backend, spec, backend))
        return shared.view(name)

    def _find(self, name: str, *, member: bool) -> PoolSpec | Pool | Executor:
        """Return what stands behind a name; "*" is not for members, else a pool of members could not be for all."""
        override = self._overrides.get(name) or (None if member else self._overrides.get(ALL))
        if override is None:
            return self._specs.get(name) or PoolSpec(name, name)
        model = self._specs.get(override.backend, override)
        if not isinstance(model, PoolSpec):
            return model
        if model.members and override.options:
            raise OptionError(f"pool {override.backend!r} has members; --pool cannot say how many workers they have")
        return replace(model, name=name, options={**model.options, **override.options})

    def _unknown(self, name: str, backend: str) -> str:
        """Return what to say about a backend that does not exist."""
        what = f"there is no pool {name!r}" if name == backend else f"pool {name!r}: there is no backend {backend!r}"
        known = set(collect_offers(self._manager, "papympi_backends")) | (
            set(self._specs) if name == backend else set()
        )
        return f"{what}{did_you_mean(backend, known)} (there are {', '.join(sorted(known))})"


def _sign(spec: PoolSpec) -> str:
    """Return what two descriptions have in common that make the same pool under two names."""
    return repr((spec.backend, spec.members, sorted(spec.options.items())))


def _make_own(name: str, spec: PoolSpec, backend: Backend) -> Pool:
    """Return a pool that nobody else has."""
    make: Callable[[], Any] = partial(backend.make, name, **spec.options)
    made: Pool | Executor = make()
    if not isinstance(made, Executor):
        return made
    slots = spec.options.get("workers") or count_cpus()
    return ExecutorPool(name, made, slots, backend.capabilities, renew=make, end=backend.end)


def _take_initializer(spec: PoolSpec) -> tuple[PoolSpec, ResourceSpec]:
    """Return a pool without the function that its workers call first, and that function as a setup."""
    options = dict(spec.options)
    function, arguments = options.pop("initializer", None), options.pop("initargs", ())
    if not callable(function):
        raise OptionError(f"pool {spec.name!r}: initializer is {function!r}, not a function")
    if not isinstance(arguments, list | tuple):
        raise OptionError(f"pool {spec.name!r}: initargs is {arguments!r}, not a tuple of arguments")
    setup = ResourceSpec(f"initializer of {spec.name}", partial(function, *arguments))
    return replace(spec, options=options), setup


def _add_setup(pool: Pool, setup: ResourceSpec) -> Pool:
    """Return the pool, which has one more setup than the graph, called before the others."""
    opens = pool.open

    def open_with(program: Program) -> None:
        opens(replace(program, setups=(setup, *program.setups)))

    pool.open = open_with  # type: ignore[method-assign]  # of this one pool, whatever its class is
    return pool


def _check_options(spec: PoolSpec, backend: Backend) -> None:
    """Refuse options that the backend does not have, and a number of workers that is none."""
    workers = spec.options.get("workers", 1)
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise OptionError(f"pool {spec.name!r}: workers is {workers!r}, not a whole number of at least 1")
    if workers > MOST_WORKERS and backend.capabilities.parallel:
        raise OptionError(f"pool {spec.name!r}: workers is {workers}; no machine has more than {MOST_WORKERS}")
    parameters = list(inspect.signature(backend.make).parameters.values())[1:]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL]
    for option in spec.options:
        if option not in known:
            options = f"its options are: {', '.join(known)}" if known else "it has none"
            raise OptionError(
                f"pool {spec.name!r}: backend {spec.backend!r} has no option {option!r}"
                f"{did_you_mean(option, known)}; {options}"
            )


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
    if kind.__module__.startswith("papympi.pools.") and not isinstance(pool, ExecutorPool | MembersPool):
        if isinstance(error, OSError):
            limit = "; raise the limit of open files (ulimit -n)" if error.errno == errno.EMFILE else ""
            return PoolError(f"pool {name!r}: the system refused what it needs to {method}: {error}{limit}")
        return PoolError(
            f"pool {name!r}: {method} raised {tell_error(error)}; no node is to blame but papympi itself "
            f"({kind.__module__}.{kind.__qualname__}): please report it"
        )
    return PoolError(
        f"pool {name!r}: {method} raised {tell_error(error)}; no node is to blame but the pool itself "
        f"({kind.__module__}.{kind.__qualname__}), `--pool {name}=processes` takes its place"
    )
