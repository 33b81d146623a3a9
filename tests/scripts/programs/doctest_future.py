"""Annotations as text, match statements, walrus, f-strings: the script's own flags of compilation.

kind: functions
inputs: number=[1, 2]
expect: ["int one", "int other"]
"""

from __future__ import annotations

import json
import sys

from papympi import node, run


def told(number: int) -> str:
    match number:
        case 1:
            return "one"
        case _:
            return "other"


@node(pool="work", stride=1)
def both(number):
    return f"{told.__annotations__['number']} {told(number)}"


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
