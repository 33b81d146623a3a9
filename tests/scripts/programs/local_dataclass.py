"""A dataclass that is defined in main().

kind: 29
expect: [[true, true]]
skip run: its graph is made in a function
"""

import json
import sys
from dataclasses import dataclass

from papympi import Graph, run


def main(pool):
    @dataclass(frozen=True)
    class Event:
        at: float

    graph = Graph()

    @graph.node(pool="work")
    def event(at):
        return Event(at)

    @graph.node(pool="work", stride=1)
    def later(event):
        assert isinstance(event, Event)
        return event

    found = [
        [isinstance(one, Event), one == Event(1.0)] for one in run({"at": [1.0]}, graph=graph, pools={"work": pool})
    ]
    print(json.dumps(found))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        main(pool)
