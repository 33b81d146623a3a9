"""The records of a plan say what follows from them."""

import pytest

from papympi.plan.plan import Plan, Space, Step, Stream
from papympi.plan.program import Program


@pytest.fixture
def spaces():
    """The unit space, a source below it, a scatter below that."""
    unit = Space(0, "unit")
    source = Space(1, "source", unit)
    return [unit, source, Space(2, "scatter", source)]


def test_depth_is_the_length_of_keys(spaces):
    assert [space.depth for space in spaces] == [0, 1, 2]


def test_a_chain_ends_in_the_unit_space(spaces):
    assert spaces[2].chain() == spaces[::-1]
    assert spaces[0].chain() == spaces[:1]


def test_equal_spaces_are_not_the_same():
    assert Space(0, "unit") != Space(0, "unit")


@pytest.mark.parametrize(
    ("options", "kept"), [({}, False), ({"target": True}, True), ({"checkpoint": True}, True), ({"inner": True}, False)]
)
def test_targets_and_checkpoints_are_kept(spaces, options, kept):
    assert Stream("n", spaces[0], **options).is_kept is kept


def test_pools_are_named_once(spaces):
    pools = ["b", None, "a", "b"]
    steps = [Step(i, "map", ("n",), [], [], spaces[0], pool) for i, pool in enumerate(pools)]
    assert Plan(steps, spaces, [], (), Program()).pools == ("a", "b")


def test_names_are_short(spaces):
    stream = Stream("n", spaces[2])
    assert repr(stream) == "Stream('n', Space(2, scatter, depth 2))"
    assert repr(Step(3, "map", ("a", "b"), [stream], [], spaces[2])) == "Step(3, map, a+b)"
