"""Types of the script: TypeVar, a generic class, a TypedDict.

kind: 04
inputs: number=[1, 2]
expect: [[1, {"value": 1}], [2, {"value": 2}]]
"""

import json
import sys
from typing import Generic, TypedDict, TypeVar

from papympi import node, run

Value = TypeVar("Value")


class Row(TypedDict):
    value: int


class Box(Generic[Value]):
    def __init__(self, value: Value):
        self.value = value


@node(pool="work", stride=1)
def boxed(number):
    return Box[int](number).value, Row(value=number)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
