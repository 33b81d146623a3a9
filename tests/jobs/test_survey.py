"""How what there is to run on is put into words."""

from papympi.jobs.survey import list_ranks


def test_ranks_are_grouped_by_host():
    hosts = [("a", 1), ("a", 2), ("b", 3), ("a", 4), ("b", 5), ("b", 6)]
    assert list_ranks(hosts) == [("a", "3: 0-1, 3"), ("b", "3: 2, 4-5")]
