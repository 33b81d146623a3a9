"""From names to pools: who has the last word, and what is said about a pool that does not exist."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from papympi.contracts import Backend, Capabilities
from papympi.errors import OptionError, PoolError
from papympi.hookspecs import hookimpl
from papympi.runner.plugins import plugin_manager
from papympi.runner.pooling import PoolSpec, open_pools, parse_pool, parse_table
from papympi.workers.cpus import count_cpus


def make_foreign(name, workers=2, *, prefix=""):
    """Make the executor of the backend "foreign"."""
    return ThreadPoolExecutor(workers, thread_name_prefix=prefix or name)


class ForeignPlugin:
    """A plugin whose backend makes an executor."""

    @hookimpl
    def papympi_backends(self):
        return {"foreign": Backend(make_foreign, "threads of somebody else", Capabilities(shares_memory=True))}


@pytest.fixture
def manager():
    manager = plugin_manager([f"unused-{uuid4()}"])
    manager.register(ForeignPlugin(), "foreign")
    return manager


@pytest.fixture
def make(manager):
    """Return what makes pools by name and closes them when the test is over."""
    made = []

    def make(*names, **sources):
        pools = open_pools(names, manager, **sources)
        made.extend(pools.values())
        return pools

    yield make
    for pool in made:
        pool.close()


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("mpi=processes:4", PoolSpec("mpi", "processes", {"workers": 4})),
        ("mpi=inline", PoolSpec("mpi", "inline")),
        ("*=inline", PoolSpec("*", "inline")),
        (" mpi = threads:2 ", PoolSpec("mpi", "threads", {"workers": 2})),
    ],
)
def test_pools_of_the_command_line(text, spec):
    assert parse_pool(text) == spec


@pytest.mark.parametrize("text", ["mpi", "=inline", "mpi=", "mpi=processes:", "mpi=processes:0", "mpi=processes:many"])
def test_bad_form_shows_the_form(text):
    """Another form is an error that shows the form."""
    with pytest.raises(OptionError, match="NAME=BACKEND:WORKERS"):
        parse_pool(text)


def test_unknown_name_is_a_backend(make):
    """A name that stands nowhere is a backend."""
    pools = make("inline", "threads")
    assert [pool.name for pool in pools.values()] == ["inline", "threads"]


def test_executor_gets_capabilities(make):
    """An executor of a backend becomes a pool with the capabilities of the backend."""
    pool = make("far", tables={"far": PoolSpec("far", "foreign", {"workers": 3})})["far"]
    assert pool.capabilities.shares_memory
    assert pool.concurrency == 3


def test_the_last_word(make):
    tables = {"a": PoolSpec("a", "threads", {"workers": 1}), "b": PoolSpec("b", "threads", {"workers": 5})}
    with ThreadPoolExecutor(1) as executor:
        given = {"a": executor, "c": "foreign:4", "d": {"backend": "foreign", "workers": 6}}
        pools = make("a", "b", "c", "d", tables=tables, given=given)
    assert [pools[name].concurrency for name in "cd"] == [4, 6]
    assert pools["a"].concurrency == count_cpus()
    overrides = {"*": PoolSpec("*", "inline"), "d": PoolSpec("d", "b", {"workers": 2})}
    pools = make("a", "b", "c", "d", "e", tables=tables, given=given, overrides=overrides)
    inline = type(make("inline")["inline"])
    assert [type(pools[name]) is inline for name in "abcde"] == [True, True, True, False, True]
    assert type(pools["d"]) is type(make("threads")["threads"])


def test_given_pool_is_used(make):
    """A pool that is given is used as it is."""
    pool = make("threads")["threads"]
    assert make("mine", given={"mine": pool})["mine"] is pool


def test_members_are_pooled(make):
    tables = {
        "everything": PoolSpec("everything", members=("near", "foreign")),
        "near": PoolSpec("near", "threads", {"workers": 2}),
    }
    pool = make("everything", tables=tables)["everything"]
    assert pool.name == "everything"
    assert type(make("e", tables=tables, overrides={"e": PoolSpec("e", "everything")})["e"]) is type(pool)
    with pytest.raises(OptionError, match="'everything' has members"):
        make("e", tables=tables, overrides={"e": PoolSpec("e", "everything", {"workers": 2})})
    assert type(make("x", tables=tables, overrides={"*": PoolSpec("*", "everything")})["x"]) is type(pool)


def test_member_of_itself(make):
    """A member of itself is an error with its path."""
    tables = {"a": parse_table("a", {"members": ["b"]}), "b": parse_table("b", {"members": ["threads", "a"]})}
    with pytest.raises(PoolError, match="'a' is a member of itself: a -> b -> a"):
        make("a", tables=tables)


def test_unknown_names_closest(make):
    """Unknown pools and backends name the closest."""
    with pytest.raises(PoolError, match=r"there is no pool 'tread'; did you mean 'threads'.*foreign, inline,.*mine"):
        make("tread", tables={"mine": PoolSpec("mine", "threads")})
    with pytest.raises(PoolError, match=r"pool 'mpi': there is no backend 'proceses'; did you mean 'processes'"):
        make("mpi", tables={"mpi": PoolSpec("mpi", "proceses")})


def test_unknown_option_is_named(make):
    """Unknown options name the closest."""
    with pytest.raises(OptionError, match=r"'foreign' has no option 'worker'; did you mean 'workers'.*workers, prefix"):
        make("a", given={"a": {"backend": "foreign", "worker": 3}})


@pytest.mark.parametrize("workers", [0, "8", True, 1.5])
def test_workers_are_counted(make, workers):
    with pytest.raises(OptionError, match="pool 'a': workers is"):
        make("a", given={"a": {"backend": "foreign", "workers": workers}})


def test_no_pool_is_refused(make):
    """What is no pool is refused."""
    with pytest.raises(OptionError, match="pool 'a': 7 is neither a pool nor an executor"):
        make("a", given={"a": 7})
