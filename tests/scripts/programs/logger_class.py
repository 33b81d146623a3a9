"""A module that brings a class of loggers of its own.

kind: 03
inputs: number=[1, 2]
expect: ["said 1", "said 2"]
"""

import json
import sys

import shouting

from papympi import node, run


@node(pool="work", stride=1)
def said(number):
    import logging

    return logging.getLogger("shouting").shout(number)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
