"""An Enum that is defined in main().

kind: 29
expect: [[true, true], [true, false]]
skip run: its graph is made in a function
"""

import enum
import json
import sys

from papympi import Graph, run


def main(pool):
    class Phase(enum.Enum):
        NEW = 1
        OLD = 2

    graph = Graph()

    @graph.node(pool="work", stride=1)
    def phase(number):
        return Phase(number)

    @graph.node(pool="work", stride=1)
    def checked(phase):
        return phase in {Phase.NEW, Phase.OLD} and phase

    found = [
        [isinstance(one, Phase), one is Phase.NEW] for one in run({"number": [1, 2]}, graph=graph, pools={"work": pool})
    ]
    print(json.dumps(found))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        main(pool)
