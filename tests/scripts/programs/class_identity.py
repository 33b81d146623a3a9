"""Classes of the script are the same classes at the caller.

kind: identity
expect: [true, true, true, true]
skip run: the consumer compares
"""

import enum
import json
import sys
from dataclasses import dataclass

from papympi import node, run


@dataclass
class Point:
    x: int


class Phase(enum.Enum):
    NEW = 1


class Wrong(ValueError):
    pass


@node(pool="work", stride=1)
def made(number):
    return Point(number), Phase.NEW, Wrong(number), Point


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        ((point, phase, wrong, kind),) = run({"number": [1]}, pools={"work": pool})
        print(json.dumps([point == Point(1), phase is Phase.NEW, type(wrong) is Wrong, kind is Point]))
