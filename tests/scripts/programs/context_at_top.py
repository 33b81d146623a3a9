"""A context variable that is set at the top.

kind: settings
inputs: number=[1, 2]
expect: ["top", "top"]
"""

import contextvars
import json
import sys

from papympi import node, run

first = contextvars.ContextVar("first", default="unset")
first.set("top")


@node(pool="work", stride=1)
def found(number):
    return first.get()


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
