"""What a program needs is told from what is offered, and each has its way to the node."""

import math
import sys

import pytest

from papympi.errors import ShippingError
from papympi.plan.program import Argument, Call, Program, Stage
from papympi.transport.census import Census


@pytest.fixture
def take(load_module):
    """What is needed and what is offered, for the function `node` of some source."""

    def find(source):
        module = load_module("recipe", source)
        program = Program({0: Stage("map", 1, (Call("node", module.node, (Argument(0),)),), (1,))}, ("recipe",))
        census = Census(frozenset({"recipe"}))
        needed = census.find_needed(program)
        return needed, census.find_offers(needed, [])

    return find


def test_needed_is_what_the_node_reaches(take):
    source = """
        A, B, C = 1, 2, 3
        def helper():
            return B
        def other():
            return C
        def node(x):
            return A, helper()
        """
    needed, offers = take(source)
    assert {entry.name for entry in needed} == {"node", "A", "B", "helper"}
    assert {offer.name for offer in offers} == {"other", "C"}


def test_the_way_is_told(take):
    source = """
        B = 2
        def deep():
            return B
        def helper():
            return deep()
        def node(x):
            return helper()
        """
    needed, _ = take(source)
    assert {entry.what for entry in needed} == {
        "global 'node'",
        "global 'helper'",
        "global 'deep' used by 'helper'",
        "global 'B' used by 'deep' used by 'helper'",
    }
    assert {entry.user for entry in needed} == {"node 'node'"}


def test_what_is_offered_may_be_light_only(take):
    source = """
        DATA = bytearray(1_000_000)
        def unneeded(x=DATA):
            return DATA
        def node(x):
            return x
        """
    _, offers = take(source)
    reasons = {offer.name: offer.body for offer in offers}
    assert "too big" in reasons["unneeded"]


def test_what_a_needed_class_reaches_is_needed(take):
    source = """
        import threading
        BAD = threading.Thread()
        class Tool:
            def go(self):
                return BAD
        def node(x):
            return Tool().go()
        """
    with pytest.raises(ShippingError, match=r"node 'node': global 'BAD' used by 'go' \(threading.Thread\)"):
        take(source)


def test_unneeded_is_left_out_with_a_reason(take):
    source = """
        import threading
        BAD = threading.Thread()
        class Tool:
            bad = BAD
        def node(x):
            return x
        """
    _, offers = take(source)
    assert [(offer.name, offer.body) for offer in offers if isinstance(offer.body, str)] == [
        ("Tool", "it cannot be sent: a thread: it belongs to one process; make it a @resource")
    ]


def test_sentinels_are_always_sent(take):
    needed, _ = take("MISSING = object()\ndef node(x):\n    return x\n")
    assert "MISSING" in {entry.name for entry in needed}
    assert all(entry.limit == math.inf for entry in needed)


def test_light_things_are_offered(take):
    """What is imported is offered by its name, and plain data if it is light: code may look it up by a text."""
    source = "import math\nfrom enum import Enum\nSTEPS, BIG = 3, 'x' * 100_000\ndef node(x):\n    return x\n"
    _, offers = take(source)
    assert {offer.name for offer in offers if isinstance(offer.body, bytes)} == {"math", "Enum", "STEPS"}
    assert all(len(offer.body) < 100 for offer in offers)
    assert "recipe" in sys.modules
