"""The contract that every pool keeps, as tests: inherit `PoolContract` in a test module of your own.

from papympi.testing import PoolContract

class TestMyPool(PoolContract):
    @pytest.fixture
    def pool_factory(self):
        return lambda: MyPool("mine", workers=2)

Needs pytest; nothing else in papympi imports it.
"""

from __future__ import annotations

from papympi.testing.driver import Driver, build_fold, build_map, build_scatter, make_pool, values_of
from papympi.testing.pools import PoolContract

__all__ = ["Driver", "PoolContract", "build_fold", "build_map", "build_scatter", "make_pool", "values_of"]
