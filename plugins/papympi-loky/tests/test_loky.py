"""The plugin is found, and its pools keep the contract."""

import importlib.metadata

import papympi_loky
import pytest

from papympi.testing import PoolContract, make_pool


class TestLoky(PoolContract):
    @pytest.fixture
    def pool_factory(self):
        (backend,) = papympi_loky.papympi_backends().values()
        return lambda: make_pool(backend, "loky", workers=2)


def test_entry_point_is_found():
    (point,) = importlib.metadata.entry_points(group="papympi", name="loky")
    assert point.load() is papympi_loky
