"""What a node needs: a msgspec.Struct, an attrs class, enum.member.

kind: 05
inputs: number=[1, 2]
expect: [6, 8]
refused processes, mpi, loky, mpiexec: Reading
"""

import enum
import json
import sys

import attrs
import msgspec

from papympi import node, run


class Reading(msgspec.Struct):
    value: int


@attrs.define
class Point:
    x: int


class Way(enum.Enum):
    DOUBLE = enum.member(lambda number: 2 * number)


@node(pool="work", stride=1)
def read(number):
    return Way.DOUBLE.value(Reading(Point(number).x + 2).value)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
