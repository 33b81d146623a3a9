"""The pool of MPI ranks: the contract, in the world and at home."""

import pytest

from papympi.pools.mpi import BACKEND, MpiPool
from papympi.testing import PoolContract


class TestContract(PoolContract):
    @pytest.fixture
    def pool_factory(self):
        return lambda: MpiPool("mpi", workers=2)
