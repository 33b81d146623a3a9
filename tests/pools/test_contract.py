"""The contract of a pool, over every pool there is: add yours to `FACTORIES`."""

import concurrent.futures

import pytest

from papympi.pools.asyncio import AsyncioPool
from papympi.pools.executor import ExecutorPool
from papympi.pools.inline import InlinePool
from papympi.pools.processes import ProcessesPool
from papympi.pools.threads import ThreadsPool
from papympi.testing import PoolContract

FACTORIES = {
    "inline": lambda: InlinePool("inline"),
    "threads": lambda: ThreadsPool("threads", workers=2),
    "asyncio": lambda: AsyncioPool("asyncio", workers=2),
    "processes": lambda: ProcessesPool("processes", workers=2),
    "a ThreadPoolExecutor": lambda: ExecutorPool("executor", concurrent.futures.ThreadPoolExecutor(2), 2),
    "a ProcessPoolExecutor": lambda: ExecutorPool("executor", concurrent.futures.ProcessPoolExecutor(2), 2),
}


class TestPools(PoolContract):
    @pytest.fixture(params=FACTORIES)
    def pool_factory(self, request):
        return FACTORIES[request.param]
