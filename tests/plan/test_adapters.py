"""What stands between columns and a function: values end up where the function's parameters are."""

import asyncio
import operator
import pickle

import pytest

from papympi.plan.adapters import (
    AwaitedByPosition,
    AwaitedGroupFold,
    ByPosition,
    Finish,
    GroupFold,
    GroupMerge,
    Merge,
    Nothing,
    RowFold,
    UnzippedCall,
    make_row,
)


def tell(*args, **named):
    return args, named


def add(total, item, step=1):
    return total + step * item


async def add_later(total, item, step=1):
    return total + step * item


def test_a_row_is_a_tuple():
    assert make_row(1, "b") == (1, "b")


def test_rows_become_lists():
    call = UnzippedCall(tell, ((0, 0), (1, 1)), 2)
    assert call([(1, "a"), (2, "b")]) == (([1, 2], ["a", "b"]), {})


def test_lists_go_to_their_keywords():
    call = UnzippedCall(tell, ((0, 1), ("x", 0)), 2)
    assert call([(1, "a"), (2, "b")]) == ((["a", "b"],), {"x": [1, 2]})


def test_others_fill_the_gaps():
    call = UnzippedCall(tell, ((0, 0), (2, 1)), 2)
    assert call([(1, "a")], "other", key=7) == (([1], "other", ["a"]), {"key": 7})


def test_no_rows_are_empty_lists():
    assert UnzippedCall(tell, ((0, 0), (1, 1)), 2)([]) == (([], []), {})


def test_vectorized_takes_lists_of_rows():
    call = UnzippedCall(tell, ((0, 0), (1, 1)), 2, vectorized=True)
    assert call([[(1, "a"), (2, "b")], [(3, "c")]]) == (([[1, 2], [3]], [["a", "b"], ["c"]]), {})


def test_a_fold_takes_the_accumulator_first():
    fold = RowFold(tell, ((0, 1), ("x", 0)))
    assert fold("total", (1, 2), "other") == (("total", 2, "other"), {"x": 1})


def test_a_group_is_folded_in_order():
    assert GroupFold(operator.add, str)(["a", "b", "c"]) == "abc"


def test_an_empty_group_is_a_fresh_accumulator():
    assert GroupFold(operator.add, list)([]) == []


def test_a_group_passes_others_on():
    assert GroupFold(add, int)([1, 2], step=10) == 30


def test_an_async_group_gives_the_same():
    assert asyncio.run(AwaitedGroupFold(add_later, int)([1, 2], step=10)) == 30


def test_partials_are_merged_in_order():
    assert GroupMerge(operator.add)(["a", "b", "c"]) == "abc"


def test_the_first_partial_replaces_nothing():
    assert Merge(operator.add)(Nothing(), "a") == "a"
    assert Merge(operator.add)("a", "b") == "ab"


def test_without_items_the_result_is_fresh():
    assert Finish(list)(Nothing()) == []
    assert Finish(list)([1]) == [1]


def test_nothing_travels_as_such():
    assert isinstance(pickle.loads(pickle.dumps(Nothing())), Nothing)


def test_by_position_ignores_names():
    assert ByPosition(lambda x, y: (x, y))(1, 2) == (1, 2)
    assert asyncio.run(AwaitedByPosition(add_later)(1, 2)) == 3


@pytest.mark.parametrize("adapter", [GroupFold(add, int), AwaitedGroupFold(add_later, int), Merge(add), Finish(list)])
def test_adapters_travel(adapter):
    assert pickle.loads(pickle.dumps(adapter)) == adapter
