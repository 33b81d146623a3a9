"""Context variables that are set at the top and after the guard.

kind: settings
inputs: number=[1, 2]
expect: [["top", "main"], ["top", "main"]]
skip run: with papympi run nothing after the guard happens
"""

import contextvars
import json
import sys

from papympi import node, run

first = contextvars.ContextVar("first", default="unset")
second = contextvars.ContextVar("second", default="unset")
first.set("top")


@node(pool="work", stride=1)
def found(number):
    return first.get(), second.get()


if __name__ == "__main__":
    second.set("main")
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
