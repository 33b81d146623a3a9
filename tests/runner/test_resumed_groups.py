"""A run with groups is cut off and resumed: every member is in one group, also where results come as they like."""

import pytest

from papympi import Graph, run


def member(row):
    return row


def together(member):
    return list(member)


@pytest.fixture
def graph():
    graph = Graph("groups")
    graph.add(member, checkpoint=True, stride=2)
    graph.add(together, gather=3, stride=1)
    return graph


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("taken", [1, 7, 19])
def test_each_member_is_in_one_group(graph, tmp_path, pool_of_two, ordered, taken):
    given = {"graph": graph, "pools": {"*": pool_of_two}, "ordered": ordered, "journal": tmp_path / "run"}
    with run({"row": range(60)}, **given) as running:
        first = [next(running) for _ in range(taken)]
    groups = list(run({"row": range(60)}, **given, resume=True))
    assert sorted(value for group in groups for value in group) == list(range(60))
    assert all(group in groups for group in first)
